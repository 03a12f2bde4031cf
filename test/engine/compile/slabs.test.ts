// Slabs are cut and joined in rows on CUDA and in single elements elsewhere, with the same values; the tables that CUDA's kernels
// make per place along the axis stay small.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlannedTensor } from '../../../src/engine/adapters/variant';
import { planSlabs, slabGradients, slabViews } from '../../../src/engine/compile/slabs';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { lower } from '../../../src/engine/graph/passes/lower';
import { onCpu } from '../session/cpuRuntime';

const shapes = [[8, 64], [96, 8], [32], [8, 160]];
const tensors = shapes.map(
  (shape, i): PlannedTensor => ({
    name: `tensor${i}`,
    shape,
    group: { learningRateScale: 1, decay: true },
    initial: async () => new Float32Array(),
  }),
);
const slabs = planSlabs(tensors);

for (const [device, places] of [
  ['cpu', 2592],
  // 32 divides all of them.
  ['cuda', 81],
] as const) {
  test(`${device}: what is cut out of a slab and joined again is the slab`, async () => {
    assert.equal(slabs.length, 1);
    const b = new GraphBuilder('slabs');
    const views = slabViews(b, slabs, device);
    // Every tensor twice itself.
    const doubled = new Map([...views].map(([name, view]) => [name, b.add(view, view)]));
    const [gradient] = slabGradients(b, slabs, doubled, device);
    const graph = lower(b.finish([{ name: 'gradient', value: gradient! }]));
    const split = graph.nodes.find(({ op }) => op === 'Split')!;
    const concat = graph.nodes.find(({ op }) => op === 'Concat')!;
    assert.equal(split.inputs[0]!.shape[0], places);
    assert.equal(concat.outputs[0]!.shape[0], places);
    for (const [i, { name, shape }] of tensors.entries())
      assert.deepEqual(views.get(name)!.shape, shape, `${i}`);
    await onCpu(async (runtime) => {
      const program = await Program.open(runtime, graph, new Map());
      const slab = Float32Array.from({ length: 2592 }, (_, i) => i);
      program.feed(slabs[0]!.name, slab);
      await program.run();
      assert.deepEqual(
        program.read('gradient'),
        slab.map((x) => 2 * x),
      );
      program.release();
    });
  });
}

test('a tensor without a gradient counts zeros, in rows too', async () => {
  const b = new GraphBuilder('slabs');
  const [gradient] = slabGradients(b, slabs, new Map(tensors.map(({ name }) => [name, null])), 'cuda');
  const graph = lower(b.finish([{ name: 'gradient', value: gradient! }]));
  await onCpu(async (runtime) => {
    const program = await Program.open(runtime, graph, new Map());
    await program.run();
    assert.deepEqual(program.read('gradient'), new Float32Array(2592));
    program.release();
  });
});
