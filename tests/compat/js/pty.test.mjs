// Terminals: size, input, programs that need one, reconnecting.

import assert from 'node:assert/strict'
import test from 'node:test'
import { CommandExitError } from '@e2b/code-interpreter'
import { needs, shared, until } from './support.mjs'

const here = shared()

/** A terminal that is killed when the test is over, and what it has shown so far. */
async function terminal(context, options = {}) {
  const { pty } = here.sandbox
  const shell = { shown: '' }
  const decoder = new TextDecoder()
  const onData = (data) => {
    shell.shown += decoder.decode(data, { stream: true })
  }
  shell.handle = await pty.create({ cols: 80, rows: 24, timeoutMs: 0, onData, ...options })
  context.after(() => pty.kill(shell.handle.pid))
  shell.send = (text) => pty.sendInput(shell.handle.pid, new TextEncoder().encode(text))
  shell.shows = (text) => until(`${text} is shown`, () => shell.shown.includes(text))
  shell.reconnect = async () => {
    await shell.handle.disconnect()
    shell.handle = await pty.connect(shell.handle.pid, { onData, timeoutMs: 0 })
  }
  return shell
}

test('a shell answers', async (t) => {
  const shell = await terminal(t)
  await shell.send('echo $((40+2))-$TERM\n')
  await shell.shows('42-xterm')
})

test('size and resize', async (t) => {
  const shell = await terminal(t, { cols: 101, rows: 31 })
  await shell.send('stty size\n')
  await shell.shows('31 101')
  await here.sandbox.pty.resize(shell.handle.pid, { cols: 120, rows: 40 })
  await shell.send('stty size\n')
  await shell.shows('40 120')
})

test('environment, directory and user', async (t) => {
  const shell = await terminal(t, { envs: { FOO: 'bar' }, cwd: '/tmp', user: 'root' })
  await shell.send('echo "[$FOO $PWD $(whoami)]"\n')
  await shell.shows('[bar /tmp root]')
})

test('control and c interrupt', async (t) => {
  const shell = await terminal(t)
  await shell.send('sleep 600; echo status\n')
  await shell.shows('sleep 600')
  await shell.send('\x03')
  await shell.send('echo still here$((1+1))\n')
  await shell.shows('still here2')
})

test('Python runs in it', async (t) => {
  const shell = await terminal(t)
  await shell.send('python3 -q\n')
  await shell.shows('>>> ')
  await shell.send('import sys; print(sys.stdout.isatty(), 6*7)\n')
  await shell.shows('True 42')
})

test('top runs in it', async (t) => {
  const shell = await terminal(t)
  await shell.send('top\n')
  await shell.shows('%CPU')
  await shell.send('q')
  await shell.send('echo over$((1+1))\n')
  await shell.shows('over2')
})

test('vim edits a file in it', async (t) => {
  const shell = await terminal(t)
  await shell.send('vim /tmp/edited; echo left$((1+1))\n')
  await shell.shows('/tmp/edited"')
  await shell.send('ihello from vim\x1b:wq\r')
  await shell.shows('left2')
  assert.equal(await here.sandbox.files.read('/tmp/edited'), 'hello from vim\n')
})

test('its end has a code', async (t) => {
  const shell = await terminal(t)
  await shell.send('exit 5\n')
  await assert.rejects(shell.handle.wait(), (error) => {
    assert.ok(error instanceof CommandExitError)
    return error.exitCode === 5
  })
})

test('reconnecting sees what comes next', needs('Pty', 'connect'), async (t) => {
  const shell = await terminal(t)
  await shell.reconnect()
  await shell.send('echo after$((1+1))\n')
  await shell.shows('after2')
})

test('kill ends it', async (t) => {
  const shell = await terminal(t)
  assert.equal(await here.sandbox.pty.kill(shell.handle.pid), true)
  await assert.rejects(shell.handle.wait())
  assert.equal(await here.sandbox.pty.kill(999_999), false)
})

test('resizing nothing is an error', async () => {
  await assert.rejects(here.sandbox.pty.resize(999_999, { cols: 10, rows: 10 }))
})
