// What goes on across a pause, and what breaks as the contract says.

import assert from 'node:assert/strict'
import test from 'node:test'
import { CommandExitError, FilesystemEventType, TimeoutError } from '@e2b/code-interpreter'
import { again, create, needs, offers, pause, request, until, withInput } from './support.mjs'

const BOOT_ID = '/proc/sys/kernel/random/boot_id'

test('processes, memory and the kernel stay', async (t) => {
  let sandbox = await create(t)
  const boot = await sandbox.files.read(BOOT_ID)
  const { pid } = await sandbox.commands.run('sleep 3600', { background: true, timeoutMs: 0 })
  await sandbox.commands.run('mkdir -p /dev/shm && echo in memory > /dev/shm/file')
  for (let time = 0; time < 3; time++) {
    sandbox = await again(sandbox)
    assert.equal(await sandbox.files.read(BOOT_ID), boot)
    assert.ok((await sandbox.commands.list()).some((process) => process.pid === pid))
    assert.equal((await sandbox.commands.run('cat /dev/shm/file')).stdout, 'in memory\n')
  }
})

test('a running command goes on and can be followed', async (t) => {
  const sandbox = await create(t)
  const { pid } = await sandbox.commands.run('read a; echo got $a; exit 3', {
    background: true,
    timeoutMs: 0,
    ...withInput,
  })
  const same = await again(sandbox)
  const handle = await same.commands.connect(pid)
  await same.commands.sendStdin(pid, 'it\n')
  await assert.rejects(handle.wait(), (error) => {
    assert.ok(error instanceof CommandExitError)
    assert.deepEqual([error.exitCode, error.stdout], [3, 'got it\n'])
    return true
  })
})

/** Follows a command of a sandbox that is ended, and looks at how its stream ends. */
async function breaks(context, end) {
  const sandbox = await create(context)
  const handle = await sandbox.commands.run('sleep 3600', { background: true, timeoutMs: 0 })
  // Early releases hand on what their transport said, which has no class of theirs.
  const broken = assert.rejects(
    handle.wait(),
    offers('CommandHandle', 'checkHealth') ? TimeoutError : undefined,
  )
  await end(sandbox)
  await broken
}

test('the stream of a killed sandbox breaks', (t) => breaks(t, (sandbox) => sandbox.kill()))

test('the stream of a paused sandbox breaks', (t) => breaks(t, pause))

test('a terminal goes on', needs('Pty', 'connect'), async (t) => {
  const sandbox = await create(t)
  const type = (on, pid, text) => on.pty.sendInput(pid, new TextEncoder().encode(text))
  const { pid } = await sandbox.pty.create({ cols: 80, rows: 24, timeoutMs: 0, onData: () => {} })
  await type(sandbox, pid, 'KEPT=yes\n')
  const same = await again(sandbox)
  let shown = ''
  const onData = (data) => {
    shown += new TextDecoder().decode(data)
  }
  await same.pty.connect(pid, { onData, timeoutMs: 0 })
  await type(same, pid, 'echo is-$KEPT\n')
  await until('the variable is shown', () => shown.includes('is-yes'))
  await same.pty.kill(pid)
})

test('a directory can be watched again', async (t) => {
  const sandbox = await create(t)
  await sandbox.files.makeDir('/home/user/watched')
  const ended = []
  await sandbox.files.watchDir('/home/user/watched', () => {}, {
    timeoutMs: 0,
    onExit: (error) => ended.push(error),
  })
  const same = await again(sandbox)
  await until('the first watcher ends', () => ended.length === 1)
  const seen = []
  const handle = await same.files.watchDir('/home/user/watched', ({ type }) => seen.push(type))
  await same.files.write('/home/user/watched/file', 'x')
  await until('the write is seen', () => seen.includes(FilesystemEventType.WRITE))
  await handle.stop()
})

test('a server is reached before and after but not during a pause', async (t) => {
  const sandbox = await create(t)
  await sandbox.commands.run('cd /etc && exec python3 -m http.server 8124', {
    background: true,
    timeoutMs: 0,
  })
  const status = async () =>
    (await request(sandbox, 8124, '/hostname', { token: false })).status
  await until('the server answers', async () => (await status()) === 200)
  await pause(sandbox)
  assert.equal(await status(), 502)
  await sandbox.connect()
  await until('the server answers again', async () => (await status()) === 200)
})

test('a port on which nothing listens', async (t) => {
  const sandbox = await create(t)
  const response = await request(sandbox, 9, '/', { token: false })
  assert.equal(response.status, 502)
  assert.deepEqual(await response.json(), {
    sandboxId: sandbox.sandboxId,
    message: 'The sandbox is running but port is not open',
    port: 9,
    code: 502,
  })
})

test('many files stay as they were', async (t) => {
  let sandbox = await create(t)
  await sandbox.commands.run(
    'mkdir -p ~/tree && cd ~/tree && for i in $(seq 300); do mkdir -p d$((i%17)); ' +
      'head -c $((i*211)) /dev/urandom > d$((i%17))/f$i; done',
  )
  const digest = async () =>
    (
      await sandbox.commands.run(
        'cd ~/tree && find . -type f | sort | xargs sha256sum | sha256sum',
      )
    ).stdout
  const before = await digest()
  for (let time = 0; time < 2; time++) {
    sandbox = await again(sandbox)
    assert.equal(await digest(), before)
  }
})
