// The builder, the verifier, lowering and printing: what makes a graph right before anything runs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { float, type Graph } from '../../../src/engine/graph/graph';
import { lower } from '../../../src/engine/graph/passes/lower';
import { printGraph } from '../../../src/engine/graph/print';
import { verify, verifyInPlace } from '../../../src/engine/graph/verify';

test('shapes are inferred while building, and what does not fit names operator, scope and shapes', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'float32', [4, 3]);
  const w = b.input('w', 'float32', [5, 3]);
  assert.deepEqual(b.gemm(x, w, { transB: true }).shape, [4, 5]);
  assert.throws(
    () => b.scope('model.layers.0.mlp.up_proj', () => b.gemm(x, w)),
    /Gemm in model\.layers\.0\.mlp\.up_proj \(float32\[4, 3\], float32\[5, 3\]\): the inner dimensions 3 and 5 differ/,
  );
  assert.throws(() => b.reshape(x, [5, 3]), /cannot be read as \[5, 3\]/);
  assert.throws(() => b.slice(x, 1, 2, 4), /leaves axis 1/);
  assert.throws(() => b.split(x, 0, [1, 2]), /do not add up/);
  assert.throws(() => b.add(x, b.int64([1])), /element types differ/);
  assert.throws(() => b.transpose(x, [0, 0]), /no permutation/);
  const [tall, wide] = [b.input('tall', 'float32', [2, 1, 4, 3]), b.input('wide', 'float32', [2, 3, 5])];
  assert.throws(
    () => b.op('MatMul', [tall, wide], {}),
    /batches of \[2,1\] and \[2\] are as many, but not the same/,
  );
});

test('names repeat the scopes and stay unique', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'float32', [2]);
  const names = b.scope('model.layers.0', () => [
    b.add(x, x).name,
    b.add(x, x).name,
    b.add(x, x, { name: 'sum' }).name,
  ]);
  assert.deepEqual(names, ['model.layers.0/Add', 'model.layers.0/Add_1', 'model.layers.0/sum']);
  assert.throws(() => b.input('x', 'float32', [2]), /used once/);
});

test('equal small constants are one, also after lowering', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'float32', [2]);
  assert.equal(b.scalar(0.5), b.scalar(0.5));
  // Lowering makes constants of its own; they must not take the names of those that were there.
  const sum = b.add(b.add(x, b.scalar(1)), b.fill([2], 0));
  const lowered = lower(b.finish([{ name: 'y', value: sum }]));
  verify(lowered);
  const constants = new Map<string, number>();
  for (const node of lowered.nodes) {
    for (const input of node.inputs) if (input?.data) constants.set(input.name, Number(input.data[0]));
  }
  assert.deepEqual([...constants.values()].sort(), [0, 1]);
});

test('lowering drops what no output needs and expands operators of our own', () => {
  const b = new GraphBuilder('g');
  const scores = b.input('scores', 'float32', [2, 3]);
  const v = b.input('v', 'float32', [3, 4]);
  b.op('Exp', [scores], {});
  const [mixed] = b.apply('SoftmaxMatMul', [scores, v], {});
  const lowered = lower(b.finish([{ name: 'o', value: mixed! }]));
  assert.deepEqual(
    lowered.nodes.map((node) => node.op),
    ['Softmax', 'MatMul'],
  );
  verify(lowered);
  // Only the probabilities: the product goes too.
  const c = new GraphBuilder('h');
  const s = c.input('scores', 'float32', [2, 3]);
  const parts = c.apply('SoftmaxMatMul', [s, c.input('v', 'float32', [3, 4])], {});
  assert.deepEqual(
    lower(c.finish([{ name: 'p', value: parts[1]! }])).nodes.map((node) => node.op),
    ['Softmax'],
  );
});

test('the verifier finds uses before definitions and types that lie', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'float32', [2]);
  const y = b.op('Exp', [x], {});
  const z = b.op('Neg', [y], {});
  const graph = b.finish([{ name: 'z', value: z }]);
  const swapped: Graph = { ...graph, nodes: [...graph.nodes].reverse() };
  assert.throws(() => verify(swapped), /is defined before Neg/);
  const lying: Graph = {
    ...graph,
    nodes: graph.nodes.map((n) => ({ ...n, outputs: n.outputs.map((o) => ({ ...o, shape: [3] })) })),
  };
  assert.throws(() => verify(lying), /has its inferred type/);
});

test('a graph prints as text', () => {
  const b = new GraphBuilder('small');
  const x = b.input('x', 'float32', [2, 3]);
  const y = b.scope('model.norm', () => b.op('QuickGelu', [b.scale(x, 2)], { alpha: float(1) }));
  assert.equal(
    printGraph(b.finish([{ name: 'y', value: y }])),
    [
      'graph small',
      '  in  x: float32[2, 3]',
      '  model.norm/Mul: float32[2, 3] = Mul(x, 2)',
      '  model.norm/QuickGelu: float32[2, 3] = QuickGelu(model.norm/Mul, alpha=1)',
      '  out y = model.norm/QuickGelu',
      '',
    ].join('\n'),
  );
});

/** p' from p, g; `late` adds a reader of p that nothing orders before the update. */
function updateGraph(late: boolean): Graph {
  const b = new GraphBuilder('update');
  const p = b.input('p', 'float32', [4]);
  const g = b.input('g', 'float32', [4]);
  const next = b.sub(b.scale(p, 0.9), g);
  const outputs = [{ name: 'p.next', value: next }];
  if (late) outputs.push({ name: 'copy', value: b.op('Exp', [p], {}) });
  return lower(b.finish(outputs));
}

test('state is updated in place only where nothing can read the old value afterwards', () => {
  const pairs = [{ input: 'p', output: 'p.next' }];
  verifyInPlace(updateGraph(false), pairs);
  assert.throws(
    () => verifyInPlace(updateGraph(true), pairs),
    /Exp in update reads p before p\.next overwrites it/,
  );
});

test('a view of the state counts as the state, and a broadcast of it is not safe', () => {
  const b = new GraphBuilder('update');
  const p = b.input('p', 'float32', [4]);
  const g = b.input('g', 'float32', [4]);
  const late = b.op('Exp', [b.reshape(p, [2, 2])], {});
  const graph = lower(
    b.finish([
      { name: 'p.next', value: b.sub(p, g) },
      { name: 'late', value: late },
    ]),
  );
  assert.throws(() => verifyInPlace(graph, [{ input: 'p', output: 'p.next' }]), /reads p before/);
});
