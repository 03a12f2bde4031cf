// No operator of a CUDA run falls back to the CPU or needs cuDNN: every graph of every family, method, optimizer and precision
// against the table of CUDA kernels. What fails names operator, schema, types or axes, and node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variants } from '../../src/engine/adapters/registry';
import { GraphBuilder } from '../../src/engine/graph/builder';
import { cudaGaps, describeGap } from '../../src/engine/graph/cudaKernels';
import type { Graph } from '../../src/engine/graph/graph';
import { finish } from '../../src/engine/graph/passes/finish';
import { lower } from '../../src/engine/graph/passes/lower';
import { precisionFor } from '../../src/engine/graph/precision';
import { optimizers } from '../../src/engine/optim/registry';
import { baseGraphs, families, methodGraphs, updateGraphs } from './cudaGraphs';

function assertPlaced(graph: Graph): void {
  assert.deepEqual(cudaGaps(graph).map(describeGap), [], graph.name);
}

async function assertAllPlaced(graphs: AsyncIterable<Graph>): Promise<void> {
  let count = 0;
  for await (const graph of graphs) {
    assertPlaced(graph);
    count++;
  }
  assert.ok(count > 0);
}

for (const family of families) {
  for (const variant of variants) {
    test(`${family}, ${variant.id}: gradients, evaluation and generation`, () =>
      assertAllPlaced(methodGraphs(family, variant)));
  }
  test(`${family}: the base by itself, its inputs, and weights in four bits`, () =>
    assertAllPlaced(baseGraphs(family)));
}

for (const optimizer of optimizers)
  test(`${optimizer.id}: the update`, () => assertAllPlaced(updateGraphs(optimizer)));

test('a node without a kernel is named', () => {
  const b = new GraphBuilder('sample');
  const x = b.input('x', 'bfloat16', [2, 3]);
  const graph = b.scope('layer.0', () => b.finish([{ name: 'y', value: b.op('Log', [x], {}) }]));
  assert.deepEqual(cudaGaps(graph).map(describeGap), [
    'Log in layer.0: no kernel for opset 18 (schema 13), input 0 is bfloat16, output 0 is bfloat16',
  ]);
});

test('a reduction that cuDNN would do is named by its axes', () => {
  const reduced = (op: 'ReduceSum' | 'ReduceMean' | 'ReduceSumSquare', shape: number[], axes: number[]) => {
    const b = new GraphBuilder('sample');
    const y = b.op(op, [b.input('x', 'float32', shape)], { axes, keepdims: 0 });
    return cudaGaps(b.finish([{ name: 'y', value: y }])).map(describeGap);
  };
  assert.deepEqual(reduced('ReduceMean', [2, 3, 4], [1]), [
    'ReduceMean in sample: its kernel needs cuDNN for float32[2, 3, 4] over axes 1',
  ]);
  assert.equal(reduced('ReduceSumSquare', [2, 3, 1, 4], [0, 3]).length, 1);
  for (const axes of [[0], [1], [-1], [0, 1]]) assert.deepEqual(reduced('ReduceMean', [4, 8], axes), []);
  assert.deepEqual(reduced('ReduceSumSquare', [2, 1, 3, 4], [0, 1, 2]), []);
  assert.deepEqual(reduced('ReduceSum', [2, 3, 4], [1]), []);
  // As it is built, before it is lowered for CUDA.
  const b = new GraphBuilder('sample');
  const y = b.op('ReduceMax', [b.input('x', 'float32', [2, 3, 1000])], { axes: [1, 2], keepdims: 0 });
  const graph = b.finish([{ name: 'y', value: y }]);
  assert.match(describeGap(cudaGaps(graph)[0]!), /^ReduceMax .* cuDNN .* axes 1, 2$/);
  assert.deepEqual(cudaGaps(lower(graph, 'cuda')), []);
  assert.deepEqual(
    lower(graph, 'cuda').nodes.flatMap(({ op, inputs }) => (op === 'TopK' ? [inputs[0]!.shape] : [])),
    [
      [24, 250],
      [2, 12],
    ],
  );
});

test('an operator without a bfloat16 kernel computes in fp32 between casts', () => {
  const b = new GraphBuilder('sample');
  const x = b.input('x', 'float32', [2, 3]);
  const larger = b.op('Greater', [x, b.scalar(0)], {});
  const graph = finish(
    b.finish([{ name: 'y', value: b.op('Where', [larger, x, b.scalar(0)], {}) }]),
    precisionFor('bfloat16', 'cuda'),
    ['x'],
  );
  assertPlaced(graph);
  assert.deepEqual(
    graph.nodes.map(({ op, outputs }) => `${op} ${outputs[0]!.dtype}`),
    ['Cast float32', 'Cast float32', 'Greater bool', 'Where bfloat16', 'Cast float32'],
  );
});
