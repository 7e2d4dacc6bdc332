// Timeouts, pause at the timeout, waking by traffic, lists, and what bad requests get.

import assert from 'node:assert/strict'
import test from 'node:test'
import { NotFoundError, Sandbox } from '@e2b/code-interpreter'
import {
  again, create, DeniedError, GoneError, needs, offers, pause, request, until,
} from './support.mjs'

const stateOf = async (id) => {
  try {
    return (await Sandbox.getInfo(id)).state
  } catch (error) {
    if (error instanceof GoneError && error.message.includes(id)) return 'gone'
    throw error
  }
}

const comes = (sandbox, state) =>
  until(`it is ${state}`, async () => (await stateOf(sandbox.sandboxId)) === state)

const remaining = async (sandbox) => (await sandbox.getInfo()).endAt - Date.now()

const MINUTE = 60_000

test('details', async (t) => {
  const sandbox = await create(t, 'base', { metadata: { a: '1' }, timeoutMs: 5 * MINUTE })
  const info = await sandbox.getInfo()
  assert.equal(info.sandboxId, sandbox.sandboxId)
  assert.deepEqual([info.state, info.metadata, info.name], ['running', { a: '1' }, 'base'])
  assert.deepEqual([info.cpuCount, info.memoryMB], [2, 1024])
  assert.ok(info.endAt - info.startedAt <= 5 * MINUTE + 1_000)
})

test('the default timeout is five minutes', async (t) => {
  const sandbox = await Sandbox.create('base')
  t.after(() => sandbox.kill())
  const left = await remaining(sandbox)
  assert.ok(left > 4 * MINUTE && left <= 5 * MINUTE, `${left}`)
})

test('the timeout is extended and shortened', async (t) => {
  const sandbox = await create(t)
  await sandbox.setTimeout(50 * MINUTE)
  assert.ok((await remaining(sandbox)) > 49 * MINUTE)
  await sandbox.setTimeout(2 * MINUTE)
  assert.ok((await remaining(sandbox)) <= 2 * MINUTE)
})

test('the timeout kills', async (t) => {
  const sandbox = await create(t, 'base', { timeoutMs: 2_000 })
  await comes(sandbox, 'gone')
  assert.equal(await sandbox.isRunning(), false)
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), NotFoundError)
})

test('the timeout pauses again and again where that is asked for', async (t) => {
  const sandbox = offers('SandboxOpts', 'lifecycle')
    ? await create(t, 'base', { timeoutMs: 3_000, lifecycle: { onTimeout: 'pause' } })
    : await Sandbox.betaCreate('base', { timeoutMs: 3_000, autoPause: true })
  t.after(() => Sandbox.kill(sandbox.sandboxId))
  for (let time = 0; time < 2; time++) {
    await comes(sandbox, 'paused')
    await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 3_000 })
  }
  await comes(sandbox, 'paused')
})

test('traffic wakes what may be woken', needs('SandboxOpts', 'lifecycle'), async (t) => {
  const sandbox = await create(t, 'base', {
    lifecycle: { onTimeout: 'pause', autoResume: true },
  })
  const server = await sandbox.commands.run('cd /etc && exec python3 -m http.server 8125', {
    background: true,
    timeoutMs: 0,
  })
  // A client that follows it would ask after the sandbox when the stream breaks, and so wake it.
  await server.disconnect()
  const answers = async () =>
    (await request(sandbox, 8125, '/hostname', { token: false })).status === 200
  await until('the server answers', answers)
  await pause(sandbox)
  assert.equal(await stateOf(sandbox.sandboxId), 'paused')
  assert.ok(await answers(), 'the first request wakes it and is answered')
  assert.equal(await stateOf(sandbox.sandboxId), 'running')
})

test('a second pause and a second kill say no', async (t) => {
  const sandbox = await create(t)
  const { sandboxId } = sandbox
  await pause(sandbox)
  assert.equal(await pause(sandbox), false)
  assert.equal(await Sandbox.kill(sandboxId), true)
  assert.equal(await Sandbox.kill(sandboxId), false)
})

test('pauses and connects at once all get the same sandbox', async (t) => {
  const sandbox = await create(t)
  await sandbox.commands.run('echo same > /tmp/file')
  await Promise.all(Array.from({ length: 4 }, () => pause(sandbox)))
  const shown = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const same = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 10 * MINUTE })
      return (await same.commands.run('cat /tmp/file')).stdout
    }),
  )
  assert.deepEqual(shown, Array(4).fill('same\n'))
})

test('a sandbox that was paused is the same', async (t) => {
  const sandbox = await create(t, 'base', { metadata: { kept: 'yes' } })
  const same = await again(sandbox)
  assert.equal(same.sandboxId, sandbox.sandboxId)
  assert.deepEqual((await same.getInfo()).metadata, { kept: 'yes' })
})

test('lists, page by page', async (t) => {
  const tag = crypto.randomUUID()
  const made = []
  for (let number = 0; number < 3; number++) {
    made.push(await create(t, 'base', { metadata: { tag } }))
  }
  await pause(made[1])
  const ids = made.map(({ sandboxId }) => sandboxId)
  const list = async (query) => {
    const found = []
    const paginator = Sandbox.list({ query: { metadata: { tag }, ...query }, limit: 1 })
    while (paginator.hasNext) found.push(...(await paginator.nextItems()))
    return found.map(({ sandboxId }) => sandboxId)
  }
  assert.deepEqual(await list({}), ids.toReversed())
  assert.deepEqual(await list({ state: ['paused'] }), [ids[1]])
  assert.deepEqual(await list({ state: ['running'] }), [ids[2], ids[0]])
})

test('what does not exist', async () => {
  const id = 'i0000000000000000000'
  await assert.rejects(Sandbox.connect(id), NotFoundError)
  await assert.rejects(Sandbox.getInfo(id), GoneError)
  assert.equal(await Sandbox.kill(id), false)
})

test('what is refused', async () => {
  await assert.rejects(
    Sandbox.create('base', { apiKey: `e2b_${'0'.repeat(40)}` }),
    DeniedError,
  )
  await assert.rejects(Sandbox.create('no-such-template'), /no-such-template/)
  await assert.rejects(
    Sandbox.create('base', { timeoutMs: 10 ** 10 }),
    /Timeout cannot be greater than/,
  )
})
