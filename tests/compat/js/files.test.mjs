// Files: sizes, forms, several at once, metadata, ownership, listing, errors.

import assert from 'node:assert/strict'
import test from 'node:test'
import { AuthenticationError, InvalidArgumentError, NotFoundError } from '@e2b/code-interpreter'
import { ENVD, needs, place, request, shared } from './support.mjs'

const here = shared()
const bytesOf = (size) => new Uint8Array(size).map((_, index) => index % 251)

test('text comes back as it went', async () => {
  const path = place()
  for (const content of ['', 'hello', 'ä€😀\n', 'line\r\nline\0end']) {
    const info = await here.sandbox.files.write(path, content)
    assert.deepEqual([info.path, info.type], [path, 'file'])
    assert.equal(await here.sandbox.files.read(path), content)
  }
})

test('bytes of any size', async () => {
  const path = place()
  for (const size of [0, 1, 65_535, 65_536, 65_537, 5_242_883]) {
    await here.sandbox.files.write(path, bytesOf(size).buffer)
    assert.deepEqual(await here.sandbox.files.read(path, { format: 'bytes' }), bytesOf(size))
  }
})

test('blobs', async () => {
  const path = place()
  await here.sandbox.files.write(path, new Blob([bytesOf(100_000)]))
  const blob = await here.sandbox.files.read(path, { format: 'blob' })
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), bytesOf(100_000))
})

test('streams both ways', async () => {
  const path = place()
  const block = bytesOf(1_048_576)
  let left = 16
  const stream = new ReadableStream({
    pull: (controller) => (left-- ? controller.enqueue(block) : controller.close()),
  })
  await here.sandbox.files.write(path, stream)
  let size = 0
  for await (const chunk of await here.sandbox.files.read(path, { format: 'stream' })) {
    size += chunk.length
  }
  assert.equal(size, 16 * block.length)
})

test('gzip both ways', needs('FilesystemWriteOpts', 'gzip'), async () => {
  const path = place()
  const content = 'compressible '.repeat(10_000)
  await here.sandbox.files.write(path, content, { gzip: true })
  const { stdout } = await here.sandbox.commands.run(`head -c 12 ${path}`)
  assert.equal(stdout, 'compressible')
  assert.equal(await here.sandbox.files.read(path, { gzip: true }), content)
})

test('both forms of upload', needs('FilesystemWriteOpts', 'useOctetStream'), async () => {
  const path = place()
  for (const useOctetStream of [true, false]) {
    await here.sandbox.files.write(path, `${useOctetStream}`, { useOctetStream })
    assert.equal(await here.sandbox.files.read(path), `${useOctetStream}`)
  }
})

test('ranges', async () => {
  const path = place()
  await here.sandbox.files.write(path, '0123456789')
  for (const [range, status, expected] of [
    ['bytes=0-4', 206, '01234'],
    ['bytes=5-', 206, '56789'],
    ['bytes=-3', 206, '789'],
    ['bytes=100-200', 416, null],
  ]) {
    const headers = { Range: range, 'Accept-Encoding': 'identity' }
    const response = await request(here.sandbox, ENVD, `/files?path=${path}`, { headers })
    assert.equal(response.status, status, range)
    const body = await response.text()
    if (expected !== null) assert.equal(body, expected)
  }
})

test('several in one request', async () => {
  const path = place()
  const files = Array.from({ length: 10 }, (_, index) => ({
    path: `${path}/d/${index}`,
    data: `content ${index}`,
  }))
  const written = await here.sandbox.files.write(files)
  assert.deepEqual(written.map((info) => info.path), files.map((file) => file.path))
  for (const file of files) assert.equal(await here.sandbox.files.read(file.path), file.data)
})

test("parents are made and are the user's", async () => {
  const path = place()
  await here.sandbox.files.write(`${path}/a/b/file`, 'x')
  const { stdout } = await here.sandbox.commands.run(
    `stat -c '%U:%G %a' ${path}/a ${path}/a/b ${path}/a/b/file`,
  )
  assert.equal(stdout, 'user:user 755\nuser:user 755\nuser:user 644\n')
})

test("a file of another user is that user's", async () => {
  await here.sandbox.files.write('/root/secret', 'x', { user: 'root' })
  assert.equal(await here.sandbox.files.read('/root/secret', { user: 'root' }), 'x')
  const { stdout } = await here.sandbox.commands.run('sudo stat -c %U /root/secret')
  assert.equal(stdout, 'root\n')
})

test('an unknown user has none', async () => {
  const user = 'nobody-at-all'
  await assert.rejects(here.sandbox.files.read('/etc/hostname', { user }), AuthenticationError)
  await assert.rejects(here.sandbox.files.write('/tmp/x', 'x', { user }), AuthenticationError)
  await assert.rejects(here.sandbox.files.list('/', { user }), AuthenticationError)
})

test('overwriting keeps the mode and drops the rest', async () => {
  const path = place()
  await here.sandbox.files.write(path, 'a long content')
  await here.sandbox.commands.run(`chmod 700 ${path}`)
  await here.sandbox.files.write(path, 'short')
  assert.equal(await here.sandbox.files.read(path), 'short')
  const { stdout } = await here.sandbox.commands.run(`stat -c %a ${path}`)
  assert.equal(stdout, '700\n')
})

test('relative paths start at home', async () => {
  const name = place().split('/').pop()
  assert.equal((await here.sandbox.files.write(name, 'x')).path, `/home/user/${name}`)
  assert.equal(await here.sandbox.files.read(`/home/user/${name}`), 'x')
})

test('unusual names', async () => {
  for (const name of ['with space', 'ümläut', 'quo\'te"s', 'a?b=c&d#e', '%41']) {
    const path = place()
    await here.sandbox.files.write(`${path}/${name}`, name)
    assert.equal(await here.sandbox.files.read(`${path}/${name}`), name)
    assert.deepEqual((await here.sandbox.files.list(path)).map((entry) => entry.name), [name])
  }
})

test('metadata is kept', needs('FilesystemWriteOpts', 'metadata'), async () => {
  const path = place()
  const metadata = { author: 'me', tag: 'a b' }
  const info = await here.sandbox.files.write(path, 'x', { metadata })
  assert.deepEqual(info.metadata, metadata)
  assert.deepEqual((await here.sandbox.files.getInfo(path)).metadata, metadata)
})

test('details', async () => {
  const path = place()
  await here.sandbox.files.write(`${path}/file`, '12345')
  const info = await here.sandbox.files.getInfo(`${path}/file`)
  assert.deepEqual(
    [info.size, info.type, info.owner, info.group, info.permissions],
    [5, 'file', 'user', 'user', '-rw-r--r--'],
  )
  assert.equal((await here.sandbox.files.getInfo(path)).type, 'dir')
})

test('symbolic links', async () => {
  const path = place()
  await here.sandbox.files.write(`${path}/file`, '12345')
  await here.sandbox.commands.run(`ln -s file ${path}/link; ln -s /nowhere ${path}/broken`)
  const link = await here.sandbox.files.getInfo(`${path}/link`)
  assert.equal(link.symlinkTarget, `${path}/file`)
  assert.equal(await here.sandbox.files.read(`${path}/link`), '12345')
  await here.sandbox.files.remove(`${path}/link`)
  assert.equal(await here.sandbox.files.exists(`${path}/file`), true)
})

test('listing by depth', async () => {
  const path = place()
  for (const name of ['1', 'd/2', 'd/e/3']) await here.sandbox.files.write(`${path}/${name}`, 'x')
  const listed = async (depth) =>
    (await here.sandbox.files.list(path, { depth }))
      .map((entry) => entry.path.slice(path.length + 1))
      .sort()
  assert.deepEqual(await listed(1), ['1', 'd'])
  assert.deepEqual(await listed(2), ['1', 'd', 'd/2', 'd/e'])
  assert.deepEqual(await listed(3), ['1', 'd', 'd/2', 'd/e', 'd/e/3'])
  await assert.rejects(here.sandbox.files.list(path, { depth: 0 }), InvalidArgumentError)
})

test('renaming', async () => {
  const path = place()
  await here.sandbox.files.write(`${path}/old`, 'x')
  const info = await here.sandbox.files.rename(`${path}/old`, `${path}/sub/new`)
  assert.equal(info.path, `${path}/sub/new`)
  assert.equal(await here.sandbox.files.exists(`${path}/old`), false)
  await assert.rejects(
    here.sandbox.files.rename(`${path}/none`, `${path}/other`),
    NotFoundError,
  )
})

test('making directories', async () => {
  const path = place()
  assert.equal(await here.sandbox.files.makeDir(`${path}/a/b`), true)
  assert.equal(await here.sandbox.files.makeDir(`${path}/a/b`), false)
})

test('removing takes all below, and nothing is no error', async () => {
  const path = place()
  await here.sandbox.files.write(`${path}/a/b/c`, 'x')
  await here.sandbox.files.remove(`${path}/a`)
  assert.equal(await here.sandbox.files.exists(`${path}/a`), false)
  await here.sandbox.files.remove(`${path}/a`)
})

test('what cannot be read', async () => {
  await assert.rejects(here.sandbox.files.read('/none'), NotFoundError)
  await assert.rejects(here.sandbox.files.list('/none'), NotFoundError)
  await assert.rejects(here.sandbox.files.read('/home'), InvalidArgumentError)
})

test('writers at once leave one whole file', async () => {
  const path = place()
  const contents = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(100_000))
  await Promise.all(contents.map((content) => here.sandbox.files.write(path, content)))
  assert.ok(contents.includes(await here.sandbox.files.read(path)))
})

test('compose joins files and takes its parts', async () => {
  const path = place()
  const sources = [0, 1, 2].map((index) => `${path}/part${index}`)
  for (const [index, source] of sources.entries()) {
    await here.sandbox.files.write(source, `<${index}>`)
  }
  const response = await request(here.sandbox, ENVD, '/files/compose', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ source_paths: sources, destination: `${path}/whole` }),
  })
  assert.equal(response.status, 200, await response.text())
  assert.equal(await here.sandbox.files.read(`${path}/whole`), '<0><1><2>')
  assert.deepEqual((await here.sandbox.files.list(path)).map(({ name }) => name), ['whole'])
})
