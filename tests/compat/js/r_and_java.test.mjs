// R and Java, which the template `code-interpreter-full` has beside the other languages.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { again, create, shared } from './support.mjs'

const TEMPLATE = 'code-interpreter-full'
const built = existsSync(`${process.env.OVERWINTER_TEST_DATA_DIR}/templates/${TEMPLATE}/current`)
const options = {
  skip: built ? false : `${TEMPLATE} is not built: overwinter template build ${TEMPLATE}`,
}
const here = built ? shared(TEMPLATE) : {}
const run = (language, code, more) => here.sandbox.runCode(code, { language, ...more })

test('R and Java give results and print', options, async () => {
  for (const [language, code, text] of [
    ['r', "cat('out\\n'); message('err'); 20 + 22", '[1] 42'],
    ['java', 'System.out.println("out"); System.err.println("err"); 20 + 22', '42'],
  ]) {
    const execution = await run(language, code)
    assert.equal(execution.text, text)
    assert.deepEqual([execution.logs.stdout.join(''), execution.logs.stderr.join('')], ['out\n', 'err\n'])
  }
})

test('R and Java errors have a name and a value', options, async () => {
  const { error } = await run('r', "stop('no')")
  assert.match(error.value, /no/)
  const { error: thrown } = await run('java', 'throw new IllegalStateException("no");')
  assert.deepEqual([thrown.name, thrown.value], ['IllegalStateException', 'no'])
})

test('R plots are pictures', options, async () => {
  const { results } = await run('r', 'plot(1:3)')
  assert.equal(Buffer.from(results[0].png, 'base64').toString('latin1', 1, 4), 'PNG')
})

test('much output of R and Java arrives complete', options, async () => {
  for (const [language, code] of [
    ['r', "for (i in 1:64) cat(strrep('x', 65535), '\\n', sep = '')"],
    ['java', 'for (int i = 0; i < 64; i++) System.out.println("x".repeat(65535));'],
  ]) {
    const { logs } = await run(language, code)
    assert.equal(logs.stdout.join('').length, 4 * 1024 * 1024, language)
  }
})

test('variables of R and Java survive a pause', options, async (t) => {
  let sandbox = await create(t, TEMPLATE)
  await sandbox.runCode('x <- 41', { language: 'r' })
  await sandbox.runCode('int x = 41;', { language: 'java' })
  sandbox = await again(sandbox)
  assert.equal((await sandbox.runCode('x + 1', { language: 'r' })).text, '[1] 42')
  assert.equal((await sandbox.runCode('x + 1', { language: 'java' })).text, '42')
})
