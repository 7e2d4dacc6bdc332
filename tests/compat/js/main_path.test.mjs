// The main path, as the documents show it.

import assert from 'node:assert/strict'
import test from 'node:test'
import { Sandbox } from '@e2b/code-interpreter'
import { needs } from './support.mjs'

test('variables and files survive a pause, three times', async (t) => {
  for (let time = 0; time < 3; time++) {
    const sbx = await Sandbox.create()
    t.after(() => sbx.kill())
    await sbx.runCode('x = 42')
    await sbx.commands.run('echo hello > /tmp/message.txt')
    await sbx.betaPause()
    const same = await sbx.connect()
    assert.deepEqual((await same.runCode('print(x)')).logs.stdout, ['42\n'])
    assert.equal((await same.commands.run('cat /tmp/message.txt')).stdout, 'hello\n')
    assert.equal(await Sandbox.kill(same.sandboxId), true)
  }
})

test('class methods pause, connect and kill by id', needs('SandboxApi', 'pause'), async () => {
  const { sandboxId } = await Sandbox.create('base', { timeoutMs: 600_000 })
  assert.equal(await Sandbox.pause(sandboxId), true)
  assert.equal(await Sandbox.pause(sandboxId), false)
  const same = await Sandbox.connect(sandboxId, { timeoutMs: 60_000 })
  assert.equal(same.sandboxId, sandboxId)
  assert.equal(await Sandbox.kill(sandboxId), true)
  assert.equal(await Sandbox.kill(sandboxId), false)
})
