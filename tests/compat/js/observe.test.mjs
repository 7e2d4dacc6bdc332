// Metrics, logs and environment, as the API shows them.

import assert from 'node:assert/strict'
import test from 'node:test'
import { again, api, create, ENVD, request, shared, until } from './support.mjs'

const here = shared()

test('metrics tell what the sandbox has and uses', async () => {
  const metrics = await until('a sample is there', async () => {
    const samples = await here.sandbox.getMetrics()
    return samples.length > 0 && samples
  })
  const sample = metrics.at(-1)
  assert.equal(sample.cpuCount, 2)
  assert.ok(sample.cpuUsedPct >= 0)
  assert.ok(sample.memUsed > 0 && sample.memUsed < sample.memTotal)
  assert.ok(sample.diskTotal >= 9 * 1024 ** 3)
})

test('disk use grows with files', async () => {
  await here.sandbox.commands.run('head -c 200M /dev/zero > /home/user/file; sync')
  await until('a sample shows the file', async () =>
    (await here.sandbox.getMetrics()).some(({ diskUsed }) => diskUsed >= 200 * 1024 ** 2),
  )
})

test("the guest's own metrics", async () => {
  const metrics = await (await request(here.sandbox, ENVD, '/metrics')).json()
  assert.equal(metrics.cpu_count, 2)
  assert.ok(metrics.mem_total > 0 && metrics.disk_total > 0)
})

test('logs', async () => {
  await here.sandbox.commands.run('echo something')
  const path = `/sandboxes/${here.sandbox.sandboxId}/logs`
  const body = await until('a line is there', async () => {
    const answer = await (await api(path)).json()
    return answer.logEntries?.length > 0 && answer
  })
  assert.ok(body.logs.length > 0)
  assert.ok(!Number.isNaN(Date.parse(body.logEntries[0].timestamp)))
  assert.equal((await api('/sandboxes/inone/logs')).status, 404)
})

test('the environment of the sandbox, also after a pause', async (t) => {
  const envs = { FOO: 'bar', QUOTE: 'a\'b"c\n' }
  const sandbox = await create(t, 'base', { envs })
  const shown = await (await request(sandbox, ENVD, '/envs')).json()
  assert.deepEqual([shown.FOO, shown.QUOTE], [envs.FOO, envs.QUOTE])
  const same = await again(sandbox)
  assert.equal((await same.commands.run('printenv FOO')).stdout, 'bar\n')
})
