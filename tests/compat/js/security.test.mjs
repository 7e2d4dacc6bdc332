// Tokens, signed addresses, and paths that only the platform may reach.

import assert from 'node:assert/strict'
import test from 'node:test'
import { Sandbox } from '@e2b/code-interpreter'
import { again, create, ENVD, needs, request, shared, until } from './support.mjs'

const here = shared()
const LIST = '/process.Process/List'
const listed = (more) =>
  request(here.sandbox, ENVD, LIST, {
    method: 'POST',
    body: '{}',
    token: false,
    ...more,
    headers: { 'Content-Type': 'application/json', ...more?.headers },
  })

/** Fetches a signed address as this kind of server serves it. */
function fetchSigned(url, more) {
  const { pathname, search } = new URL(url)
  return request(here.sandbox, ENVD, `${pathname}${search}`, { token: false, ...more })
}

test('the guest asks for the token', async () => {
  assert.equal((await listed()).status, 401)
  for (const path of ['/envs', '/metrics']) {
    const response = await request(here.sandbox, ENVD, path, { token: false })
    assert.equal(response.status, 401, path)
  }
})

test('a wrong token is refused', async () => {
  for (const token of ['', 'wrong']) {
    assert.equal((await listed({ headers: { 'X-Access-Token': token } })).status, 401)
  }
})

test('a token opens only its own sandbox', async (t) => {
  const other = await create(t)
  const headers = { 'X-Access-Token': other.envdAccessToken }
  assert.equal((await listed({ headers })).status, 401)
})

test('health is open to all', async () => {
  const response = await request(here.sandbox, ENVD, '/health', { token: false })
  assert.equal(response.status, 204)
})

test('control paths cannot be reached through the edge', async () => {
  for (const path of ['/init', '/freeze', '/%69nit', '/init/']) {
    const response = await request(here.sandbox, ENVD, path, { method: 'POST', body: '{}' })
    assert.ok([400, 401, 403, 404, 405].includes(response.status), path)
  }
})

test('a signed address downloads', async () => {
  await here.sandbox.files.write('/home/user/signed', 'content')
  const url = await here.sandbox.downloadUrl('/home/user/signed', { user: 'user' })
  assert.equal(await (await fetchSigned(url)).text(), 'content')
})

test('a signed address uploads', async () => {
  const url = await here.sandbox.uploadUrl('/home/user/sent', { user: 'user' })
  const body = new FormData()
  body.append('file', new Blob(['by form']), 'sent')
  const response = await fetchSigned(url, { method: 'POST', body })
  assert.equal(response.status, 200, await response.text())
  assert.equal(await here.sandbox.files.read('/home/user/sent'), 'by form')
})

test('a signature ends with its time', async () => {
  await here.sandbox.files.write('/home/user/signed', 'content')
  const signed = (useSignatureExpiration) =>
    here.sandbox.downloadUrl('/home/user/signed', { user: 'user', useSignatureExpiration })
  // Releases differ in the unit, and both are far off.
  assert.equal((await fetchSigned(await signed(600_000))).status, 200)
  const short = await signed(1)
  await until('it has expired', async () => (await fetchSigned(short)).status === 401)
})

test('a signature is for exactly one thing', async () => {
  const url = new URL(await here.sandbox.downloadUrl('/home/user/signed', { user: 'user' }))
  for (const [name, value] of [
    ['path', '/etc/passwd'],
    ['username', 'root'],
    ['signature', 'v1_wrong'],
  ]) {
    const changed = new URL(url)
    changed.searchParams.set(name, value)
    assert.equal((await fetchSigned(changed)).status, 401, name)
  }
  const body = new FormData()
  body.append('file', new Blob(['x']), 'x')
  assert.equal((await fetchSigned(url, { method: 'POST', body })).status, 401)
})

test('files need a header or a signature', async () => {
  const response = await request(here.sandbox, ENVD, '/files?path=/etc/passwd', { token: false })
  assert.equal(response.status, 401)
})

test('closed ports ask for the traffic token', needs('SandboxOpts', 'network'), async (t) => {
  const closed = await create(t, 'base', { network: { allowPublicTraffic: false } })
  await closed.commands.run('python3 -m http.server 8123', { background: true, timeoutMs: 0 })
  const status = async (headers) =>
    (await request(closed, 8123, '/', { token: false, headers })).status
  assert.equal(await status({}), 403)
  assert.equal(await status({ 'e2b-traffic-access-token': 'wrong' }), 403)
  const headers = { 'e2b-traffic-access-token': closed.trafficAccessToken }
  await until('the server answers', async () => (await status(headers)) === 200)
})

test('tokens survive a pause', async (t) => {
  const sandbox = await create(t)
  const before = sandbox.envdAccessToken
  const same = await again(sandbox)
  assert.equal(same.envdAccessToken, before)
  assert.equal((await same.commands.run('echo ok')).stdout, 'ok\n')
})

test('a wrong key is refused', async () => {
  await assert.rejects(Sandbox.create('base', { apiKey: `e2b_${'0'.repeat(40)}` }))
})
