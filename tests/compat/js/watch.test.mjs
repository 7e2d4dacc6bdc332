// Watching directories: what is reported, in which order, and until when.

import assert from 'node:assert/strict'
import test from 'node:test'
import {
  FilesystemEventType as Event,
  InvalidArgumentError,
  NotFoundError,
} from '@e2b/code-interpreter'
import { needs, place, shared, until } from './support.mjs'

const here = shared()

/** Watches a new directory until the test is over. */
async function watched(context, options = {}, path = place()) {
  const { files } = here.sandbox
  await files.makeDir(path)
  const events = []
  const handle = await files.watchDir(path, (event) => events.push(event), {
    timeoutMs: 0,
    ...options,
  })
  context.after(() => handle.stop())
  const sees = (type, name) =>
    until(`${type} of ${name}`, () => events.some((e) => e.type === type && e.name === name))
  return { path, events, handle, files, sees }
}

test('a written file is created, chmodded and written', async (t) => {
  const { path, events, files, sees } = await watched(t)
  await files.write(`${path}/file`, 'x')
  await sees(Event.WRITE, 'file')
  assert.deepEqual(
    events.map(({ type, name }) => [type, name]),
    [Event.CREATE, Event.CHMOD, Event.WRITE].map((type) => [type, 'file']),
  )
})

test('rename and remove', async (t) => {
  const path = place()
  await here.sandbox.files.write(`${path}/a`, 'x')
  const { files, sees } = await watched(t, {}, path)
  await files.rename(`${path}/a`, `${path}/b`)
  await files.remove(`${path}/b`)
  await sees(Event.RENAME, 'a')
  await sees(Event.REMOVE, 'b')
})

test('what commands do is seen in order', async (t) => {
  const { path, events, sees } = await watched(t)
  await here.sandbox.commands.run(
    `echo x > ${path}/file; chmod 600 ${path}/file; rm ${path}/file`,
  )
  await sees(Event.REMOVE, 'file')
  const first = (type) => events.findIndex((event) => event.type === type)
  assert.ok(first(Event.CREATE) < first(Event.WRITE))
  assert.ok(first(Event.WRITE) < first(Event.CHMOD))
})

test('recursive watching sees new directories', async (t) => {
  const { path, files, sees } = await watched(t, { recursive: true })
  await files.makeDir(`${path}/new`)
  await sees(Event.CREATE, 'new')
  await files.write(`${path}/new/file`, 'x')
  await sees(Event.WRITE, 'new/file')
})

test('a flat watch does not look below', async (t) => {
  const path = place()
  await here.sandbox.files.makeDir(`${path}/below`)
  const { events, files, sees } = await watched(t, {}, path)
  await files.write(`${path}/below/file`, 'x')
  await files.write(`${path}/mark`, 'x')
  await sees(Event.WRITE, 'mark')
  assert.ok(!events.some(({ name }) => name.includes('file')))
})

test('entries come with the events', needs('WatchOpts', 'includeEntry'), async (t) => {
  const { path, events, files, sees } = await watched(t, { includeEntry: true })
  await files.write(`${path}/file`, '12345')
  await sees(Event.WRITE, 'file')
  const { entry } = events.find(({ type }) => type === Event.WRITE)
  assert.deepEqual([entry.path, entry.size], [`${path}/file`, 5])
})

test('two watchers of one directory see the same', async (t) => {
  const one = await watched(t)
  const two = await watched(t, {}, one.path)
  await one.files.write(`${one.path}/file`, 'x')
  await one.sees(Event.WRITE, 'file')
  await two.sees(Event.WRITE, 'file')
  assert.deepEqual(one.events, two.events)
})

test('many changes at once are all seen', async (t) => {
  const { path, events } = await watched(t)
  await here.sandbox.commands.run(`for n in $(seq 300); do : > ${path}/$n; done`)
  await until('all are seen', () => {
    const names = events.filter(({ type }) => type === Event.CREATE).map(({ name }) => name)
    return new Set(names).size === 300
  })
})

test('what cannot be watched', async () => {
  const path = place()
  await here.sandbox.files.write(`${path}/file`, 'x')
  const watch = (name) => here.sandbox.files.watchDir(`${path}/${name}`, () => {})
  await assert.rejects(watch('file'), InvalidArgumentError)
  await assert.rejects(watch('none'), NotFoundError)
})

test('a stopped watcher is silent', async (t) => {
  const { path, events, files, handle } = await watched(t)
  const other = await watched(t, {}, path)
  await handle.stop()
  await files.write(`${path}/file`, 'x')
  await other.sees(Event.WRITE, 'file')
  assert.deepEqual(events, [])
})
