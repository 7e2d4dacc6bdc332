// The code interpreter: each line of what it promises.

import assert from 'node:assert/strict'
import test from 'node:test'
import { NotFoundError, TimeoutError } from '@e2b/code-interpreter'
import { again, create, needs, shared, until } from './support.mjs'

const TEMPLATE = 'code-interpreter-v1'
const here = shared(TEMPLATE)
const run = (code, options) => here.sandbox.runCode(code, options)
const shown = async (code, options) => (await run(code, options)).logs.stdout.join('')

test('the last expression is the main result', async () => {
  const execution = await run("print('out')\n20 + 22")
  assert.deepEqual([execution.text, execution.logs.stdout], ['42', ['out\n']])
  assert.deepEqual(execution.results.map(({ isMainResult }) => isMainResult), [true])
})

test('text of a string has no quotes', async () => {
  assert.equal((await run("'it is text'")).text, 'it is text')
})

test('callbacks', async () => {
  const seen = []
  await run("import sys; print('a'); print('b', file=sys.stderr); 5", {
    onStdout: ({ line }) => seen.push(line),
    onStderr: ({ line, error }) => seen.push([line, error]),
    onResult: ({ text }) => seen.push(text),
  })
  assert.deepEqual(new Set(seen.map(String)), new Set(['a\n', 'b\n,true', '5']))
})

test('output comes as it happens', async () => {
  let released = false
  const execution = await run(
    "import os, time\nprint('ready', flush=True)\n" +
      "while not os.path.exists('/tmp/go'): time.sleep(0.01)\n'done'",
    {
      onStdout: async () => {
        released = true
        await here.sandbox.files.write('/tmp/go', '')
      },
    },
  )
  assert.deepEqual([released, execution.text], [true, 'done'])
})

test('variables stay and executions are counted', async () => {
  const { executionCount } = await run('kept = 5')
  const later = await run('kept')
  assert.deepEqual([later.text, later.executionCount], ['5', executionCount + 1])
})

test('an error has name, value and traceback', async () => {
  const seen = []
  const { error } = await run('def f():\n    return 1/0\nf()', {
    onError: (each) => seen.push(each.name),
  })
  assert.deepEqual([error.name, error.value], ['ZeroDivisionError', 'division by zero'])
  assert.match(error.traceback, /ZeroDivisionError/)
  assert.deepEqual(seen, ['ZeroDivisionError'])
})

test('a syntax error is one', async () => {
  assert.equal((await run('def')).error.name, 'SyntaxError')
})

test('display gives results that are not the main one', async () => {
  const { results, text } = await run("display('a'); display({'b': 1}); 'main'")
  assert.deepEqual(results.map(({ isMainResult }) => !!isMainResult), [false, false, true])
  assert.equal(text, 'main')
})

test('rich results', async () => {
  for (const [call, field, value] of [
    ["HTML('<b>x</b>')", 'html', '<b>x</b>'],
    ["Markdown('# x')", 'markdown', '# x'],
    ["Latex('$x$')", 'latex', '$x$'],
    ["Javascript('1+1')", 'javascript', '1+1'],
    ["JSON({'a': 1})", 'json', { a: 1 }],
  ]) {
    const { results } = await run(`from IPython.display import *\n${call}`)
    assert.deepEqual(results[0][field], value, call)
  }
})

test('a frame has html and data', async () => {
  const { results } = await run(
    "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})",
  )
  assert.match(results[0].html, /<table/)
  assert.deepEqual(results[0].data, { a: [1, 2], b: ['x', 'y'] })
})

test('shell lines and magics', async () => {
  assert.match(await shown('!echo shell'), /shell/)
  assert.equal((await run('%pwd')).text, '/home/user')
})

test('await at top level', async () => {
  assert.equal((await run("import asyncio\nawait asyncio.sleep(0, 'done')")).text, 'done')
})

test('input is refused clearly', async () => {
  const { error } = await run('input()')
  assert.match(`${error.name} ${error.value}`.toLowerCase(), /input/)
})

test('much output arrives complete', async () => {
  const printed = await shown("for _ in range(16 * 4): print('x' * 65535)")
  assert.equal(printed.length, 4 * 1024 * 1024)
})

test('contexts have variables and directories of their own', async () => {
  const one = await here.sandbox.createCodeContext({ cwd: '/tmp' })
  const two = await here.sandbox.createCodeContext()
  await run('v = 1', { context: one })
  assert.equal((await run('v', { context: two })).error.name, 'NameError')
  assert.equal((await run('import os; os.getcwd()', { context: one })).text, '/tmp')
  assert.equal((await run('import os; os.getcwd()', { context: two })).text, '/home/user')
})

test('contexts are listed and removed', needs('Sandbox', 'removeCodeContext'), async () => {
  const ids = async () => (await here.sandbox.listCodeContexts()).map(({ id }) => id)
  const context = await here.sandbox.createCodeContext()
  assert.ok((await ids()).includes(context.id))
  await here.sandbox.removeCodeContext(context)
  assert.ok(!(await ids()).includes(context.id))
  await assert.rejects(run('1', { context }), NotFoundError)
})

test('a restart forgets', needs('Sandbox', 'restartCodeContext'), async () => {
  const context = await here.sandbox.createCodeContext({ language: 'javascript', cwd: '/tmp' })
  await run('let v = 6', { context })
  assert.equal((await run('v * 7', { context })).text, '42')
  await here.sandbox.restartCodeContext(context)
  assert.equal((await run('v', { context })).error.name, 'ReferenceError')
})

test('language and context together are refused', async () => {
  const context = await here.sandbox.createCodeContext()
  await assert.rejects(run('1', { context, language: 'python' }))
})

test('executions of one context wait for each other', async () => {
  await run('order = []')
  await Promise.all(
    Array.from({ length: 4 }, (_, n) =>
      run(`order.append(${n})\nimport time; time.sleep(0.05)\norder.append(${n})`),
    ),
  )
  const order = JSON.parse((await run('order')).text)
  assert.equal(order.length, 8)
  for (let index = 0; index < 8; index += 2) assert.equal(order[index], order[index + 1])
})

test('languages', async () => {
  for (const [language, code] of [
    ['python', 'print(6*7)'],
    ['javascript', 'console.log(await Promise.resolve(42))'],
    ['js', 'console.log(42)'],
    ['typescript', 'const n: number = 42; console.log(n)'],
    ['ts', 'const m: number = 42; console.log(m)'],
    ['bash', 'echo $((6*7))'],
  ]) {
    const { logs, error } = await run(code, { language })
    assert.deepEqual([logs.stdout.join(''), error], ['42\n', undefined], language)
  }
})

test('JavaScript keeps variables and imports', async () => {
  const language = 'javascript'
  await run('let kept = 1; const fixed = 2', { language })
  assert.equal((await run('kept += fixed; kept', { language })).text, '3')
  const imported = "import fs from 'node:fs'; fs.existsSync('/etc/passwd')"
  assert.equal((await run(imported, { language })).text, 'true')
})

test('JavaScript errors have a name and a value', async () => {
  const { error } = await run("throw new TypeError('no')", { language: 'javascript' })
  assert.equal(error.name, 'TypeError')
  assert.match(error.value, /no/)
})

test('bash keeps its directory and variables', async () => {
  const context = await here.sandbox.createCodeContext({ language: 'bash' })
  await run('cd /tmp; X=5', { context })
  assert.equal(await shown('pwd; echo $X', { context }), '/tmp\n5\n')
})

test('a language that there is not is refused', async () => {
  // Early releases drop the words and keep the status.
  await assert.rejects(run('x', { language: 'cobol' }), /cobol|400/i)
})

test('variables of one execution are gone after it', async (t) => {
  const sandbox = await create(t, TEMPLATE, { envs: { BOTH: 'global' } })
  const read = "import os; [os.environ.get(n) for n in ('BOTH', 'ONCE')]"
  const envs = { BOTH: 'own', ONCE: 'o' }
  assert.equal((await sandbox.runCode(read, { envs })).text, "['own', 'o']")
  assert.equal((await sandbox.runCode(read)).text, "['global', None]")
})

test('an execution that takes too long is interrupted', async () => {
  const context = await here.sandbox.createCodeContext()
  const endless = run('import time\nwhile True: time.sleep(0.01)', { context, timeoutMs: 2_000 })
  await assert.rejects(endless, TimeoutError)
  assert.equal((await run("'free again'", { context })).text, 'free again')
})

test('a kernel that dies is reported and healed', async () => {
  const context = await here.sandbox.createCodeContext()
  const { error } = await run('import os; os._exit(1)', { context })
  assert.ok(error)
  await until('it runs again', async () => (await run("'alive'", { context })).text === 'alive')
})

test('the stream of a killed sandbox is no success', async (t) => {
  const sandbox = await create(t, TEMPLATE)
  let started = false
  const execution = sandbox.runCode("import time; print('on', flush=True); time.sleep(600)", {
    timeoutMs: 0,
    onStdout: () => {
      started = true
    },
  })
  const broken = assert.rejects(execution)
  await until('it has begun', () => started)
  await sandbox.kill()
  await broken
})

test('variables of two languages survive pauses', async (t) => {
  let sandbox = await create(t, TEMPLATE)
  await sandbox.runCode('x = [42]')
  await sandbox.runCode('const y = {z: 1}', { language: 'javascript' })
  for (let time = 0; time < 2; time++) sandbox = await again(sandbox)
  assert.equal((await sandbox.runCode('x')).text, '[42]')
  assert.equal((await sandbox.runCode('y.z', { language: 'javascript' })).text, '1')
})

test('a computation goes on across a pause', async (t) => {
  const sandbox = await create(t, TEMPLATE)
  let started = false
  const execution = sandbox.runCode(
    "import os, time\nprint('on', flush=True)\n" +
      "while not os.path.exists('/tmp/go'): time.sleep(0.01)\nresult = 'computed'",
    {
      timeoutMs: 0,
      onStdout: () => {
        started = true
      },
    },
  )
  const broken = assert.rejects(execution)
  await until('it has begun', () => started)
  const same = await again(sandbox)
  await broken
  await same.files.write('/tmp/go', '')
  assert.equal((await same.runCode('result')).text, 'computed')
})
