// Charts of every kind: as data, and as pictures.

import assert from 'node:assert/strict'
import test from 'node:test'
import { shared } from './support.mjs'

const here = shared('code-interpreter-v1')

/** The chart that the code draws, whose picture is looked at on the way. */
async function drawn(code) {
  const { results, error } = await here.sandbox.runCode(
    `import matplotlib.pyplot as plt\n${code}\nplt.show()`,
  )
  assert.equal(error, undefined)
  const result = results.find(({ png }) => png)
  assert.ok(result.png.startsWith('iVBOR') && result.png.length > 2_000)
  return result.chart
}

test('line', async () => {
  const chart = await drawn(
    "plt.plot([1, 2, 3], [4, 5, 6], label='one'); plt.title('Line')\n" +
      "plt.xlabel('time (s)'); plt.ylabel('speed (m/s)'); plt.legend()",
  )
  assert.deepEqual([chart.type, chart.title], ['line', 'Line'])
  assert.deepEqual([chart.x_label, chart.x_unit, chart.y_unit], ['time (s)', 's', 'm/s'])
  assert.deepEqual(chart.elements[0].points, [[1, 4], [2, 5], [3, 6]])
})

test('scatter', async () => {
  const chart = await drawn("plt.scatter([1, 2], [3, 4], label='points'); plt.legend()")
  assert.equal(chart.type, 'scatter')
  assert.deepEqual(chart.elements[0].points, [[1, 3], [2, 4]])
})

test('bar', async () => {
  const chart = await drawn("plt.bar(['a', 'b', 'c'], [1, 3, 2])")
  assert.equal(chart.type, 'bar')
  assert.deepEqual(
    chart.elements.map(({ label, value }) => [label, Number(value)]),
    [['a', 1], ['b', 3], ['c', 2]],
  )
})

test('pie', async () => {
  const chart = await drawn("plt.pie([1, 3], labels=['a', 'b'])")
  assert.equal(chart.type, 'pie')
  assert.deepEqual(
    chart.elements.map(({ label, angle }) => [label, Math.round(angle)]),
    [['a', 90], ['b', 270]],
  )
})

test('box and whisker', async () => {
  const chart = await drawn(
    'plt.boxplot([[1, 2, 3, 4, 5], [2, 4, 6, 8, 10, 30]], patch_artist=True)',
  )
  assert.equal(chart.type, 'box_and_whisker')
  assert.deepEqual(
    chart.elements.map(({ min, first_quartile, median }) => [min, first_quartile, median]),
    [[1, 2, 3], [2, 4.5, 7]],
  )
})

test('superchart', async () => {
  const chart = await drawn(
    "figure, (left, right) = plt.subplots(1, 2)\nleft.plot([1, 2], [1, 2]); " +
      "right.bar(['a'], [1]); figure.suptitle('Super')",
  )
  assert.deepEqual([chart.type, chart.title], ['superchart', 'Super'])
  assert.deepEqual(chart.elements.map(({ type }) => type), ['line', 'bar'])
})

test('a figure that is no known chart is still a picture', async () => {
  await drawn('plt.imshow([[1, 2], [3, 4]])')
})
