// Processes: output, environment, background, signals, input, timeouts.

import assert from 'node:assert/strict'
import test from 'node:test'
import {
  AuthenticationError,
  CommandExitError,
  InvalidArgumentError,
  NotFoundError,
  TimeoutError,
} from '@e2b/code-interpreter'
import { create, needs, shared, until, withInput } from './support.mjs'

const here = shared()
const run = (command, options) => here.sandbox.commands.run(command, options)
const start = (command, options) => run(command, { background: true, ...options })
const startWithInput = (command) => start(command, withInput)

test('output and exit code', async () => {
  const result = await run('echo out; echo err >&2')
  assert.deepEqual([result.stdout, result.stderr, result.exitCode], ['out\n', 'err\n', 0])
})

test('a failure is an error with all that was printed', async () => {
  await assert.rejects(run('echo before; echo why >&2; exit 7'), (error) => {
    assert.ok(error instanceof CommandExitError)
    assert.deepEqual([error.exitCode, error.stdout, error.stderr], [7, 'before\n', 'why\n'])
    return true
  })
})

test('a program that is not there has code 127', async () => {
  await assert.rejects(run('no-such-program'), ({ exitCode, stderr }) => {
    assert.equal(exitCode, 127)
    return /not found/.test(stderr)
  })
})

test('output arrives while the command runs', async () => {
  let seen = ''
  const handle = await start('echo one; head -n 1; echo two', {
    ...withInput,
    onStdout: (text) => {
      seen += text
    },
  })
  await until('the first line is there', () => seen === 'one\n')
  await here.sandbox.commands.sendStdin(handle.pid, 'middle\n')
  await handle.wait()
  assert.equal(seen, 'one\nmiddle\ntwo\n')
})

test('callbacks receive both streams', async () => {
  const seen = []
  await run('echo a; echo b >&2', {
    onStdout: (text) => seen.push(`out ${text}`),
    onStderr: (text) => seen.push(`err ${text}`),
  })
  assert.deepEqual(seen.sort(), ['err b\n', 'out a\n'])
})

test('bytes that are no text arrive as replacements', async () => {
  assert.equal((await run(String.raw`printf 'a\xff\xc3\xa9'`)).stdout, 'a\ufffd\u00e9')
})

test('large output arrives complete', async () => {
  const { stdout } = await run("head -c 33554432 /dev/zero | tr '\\0' x", { timeoutMs: 0 })
  assert.equal(stdout.length, 33_554_432)
  assert.match(stdout, /^x*$/)
})

test('environment of the command', async () => {
  const { stdout } = await run('echo $FOO-$HOME-$USER', { envs: { FOO: 'bar baz' } })
  assert.equal(stdout, 'bar baz-/home/user-user\n')
})

test('environment of the sandbox is under that of the command', async (t) => {
  const sandbox = await create(t, 'base', { envs: { A: 'sandbox', B: 'sandbox' } })
  const { stdout } = await sandbox.commands.run('echo $A $B', { envs: { B: 'command' } })
  assert.equal(stdout, 'sandbox command\n')
})

test('the directory is home unless it is named', async () => {
  assert.equal((await run('pwd')).stdout, '/home/user\n')
  assert.equal((await run('pwd', { cwd: '/tmp' })).stdout, '/tmp\n')
})

test('a directory that is not there is refused', async () => {
  await assert.rejects(run('true', { cwd: '/no/such/directory' }), InvalidArgumentError)
})

test('users', async () => {
  assert.equal((await run('whoami', { user: 'root' })).stdout, 'root\n')
  assert.equal((await run('whoami', { user: 'user' })).stdout, 'user\n')
  assert.equal((await run('sudo whoami')).stdout, 'root\n')
})

test('an unknown user is refused by name', async () => {
  await assert.rejects(run('true', { user: 'nobody-at-all' }), (error) => {
    assert.ok(error instanceof AuthenticationError)
    return /nobody-at-all/.test(error.message)
  })
})

test('a timeout kills the command', async () => {
  await assert.rejects(run('exec -a over-time sleep 300', { timeoutMs: 1_000 }), TimeoutError)
  await until('it is gone', async () => !(await run('ps -eo args')).stdout.includes('over-time'))
})

test('a background command outlives its client', async () => {
  const handle = await start('sleep 300')
  await handle.disconnect()
  const listed = await here.sandbox.commands.list()
  assert.ok(listed.some(({ pid }) => pid === handle.pid))
  assert.equal(await here.sandbox.commands.kill(handle.pid), true)
})

test('list says what runs', async () => {
  const handle = await start('sleep 301', { envs: { A: '1' }, cwd: '/tmp' })
  const info = (await here.sandbox.commands.list()).find(({ pid }) => pid === handle.pid)
  assert.deepEqual([info.cmd, info.args], ['/bin/bash', ['-l', '-c', 'sleep 301']])
  assert.deepEqual([info.envs, info.cwd], [{ A: '1' }, '/tmp'])
  await handle.kill()
  await assert.rejects(handle.wait(), CommandExitError)
})

test('connect follows a running command', async () => {
  const handle = await startWithInput('read a; read b; echo $b $a')
  await here.sandbox.commands.sendStdin(handle.pid, 'one\n')
  await handle.disconnect()
  const again = await here.sandbox.commands.connect(handle.pid)
  await here.sandbox.commands.sendStdin(handle.pid, 'two\n')
  assert.equal((await again.wait()).stdout, 'two one\n')
})

test('an ended command can still be asked for its result', async () => {
  const handle = await start('exit 5')
  await assert.rejects(handle.wait(), CommandExitError)
  const again = await here.sandbox.commands.connect(handle.pid)
  await assert.rejects(again.wait(), ({ exitCode }) => exitCode === 5)
})

test('two clients follow one command', async () => {
  const first = await startWithInput('read line; echo $line')
  const second = await here.sandbox.commands.connect(first.pid)
  await here.sandbox.commands.sendStdin(first.pid, 'both\n')
  const results = await Promise.all([first.wait(), second.wait()])
  assert.deepEqual(results.map(({ stdout }) => stdout), ['both\n', 'both\n'])
})

test('connect to nothing is not found', async () => {
  await assert.rejects(here.sandbox.commands.connect(999_999), NotFoundError)
})

test('kill says whether there was one', async () => {
  const handle = await start('sleep 302')
  assert.equal(await handle.kill(), true)
  await assert.rejects(handle.wait(), ({ exitCode }) => exitCode !== 0)
  assert.equal(await here.sandbox.commands.kill(999_999), false)
})

test('input in order', async () => {
  const handle = await startWithInput('head -n 100; echo end')
  const lines = Array.from({ length: 100 }, (_, index) => `${index}\n`)
  for (const line of lines) await here.sandbox.commands.sendStdin(handle.pid, line)
  assert.equal((await handle.wait()).stdout, `${lines.join('')}end\n`)
})

test('the end of input', needs('Commands', 'closeStdin'), async () => {
  const handle = await startWithInput('cat; echo end')
  await handle.sendStdin('no newline')
  await here.sandbox.commands.closeStdin(handle.pid)
  assert.equal((await handle.wait()).stdout, 'no newlineend\n')
})

test('input of any bytes', needs('Commands', 'closeStdin'), async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  const handle = await startWithInput("od -An -tx1 -v | tr -d ' \\n'")
  await handle.sendStdin(bytes)
  await handle.closeStdin()
  assert.equal((await handle.wait()).stdout, Buffer.from(bytes).toString('hex'))
})

test('input is closed where none is asked for', needs('CommandStartOpts', 'stdin'), async () => {
  assert.equal((await run('cat; echo end', { stdin: false })).stdout, 'end\n')
})

test('many commands one after the other leave nothing', async (t) => {
  const { commands } = await create(t)
  const held = async () =>
    (await commands.run('ps -e | wc -l; ls /proc/1/fd | wc -l', { user: 'root' })).stdout
      .trim()
      .split('\n')
      .map(Number)
  const before = await held()
  for (let time = 0; time < 100; time++) await commands.run('true')
  await until('what they held is free', async () =>
    (await held()).every((now, index) => now <= before[index] + 3),
  )
  assert.ok(!(await commands.run('ps -ef')).stdout.includes('defunct'))
})

test('many commands at once', async () => {
  const handles = await Promise.all(
    Array.from({ length: 20 }, (_, index) => startWithInput(`read line; echo ${index} $line`)),
  )
  await Promise.all(handles.map(({ pid }) => here.sandbox.commands.sendStdin(pid, 'go\n')))
  const results = await Promise.all(handles.map((handle) => handle.wait()))
  assert.deepEqual(
    results.map(({ stdout }) => stdout),
    handles.map((_, index) => `${index} go\n`),
  )
})
