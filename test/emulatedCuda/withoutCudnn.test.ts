// What ONNX Runtime's own CUDA provider runs on a machine without cuDNN: our table of kernels says for which reductions it asks
// for it, and no graph of ours does. Kernels do nothing here. Runs where EMULATED_CUDA_PROVIDER names a folder with the
// provider's libraries, and a C compiler is there.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { variants } from '../../src/engine/adapters/registry';
import { Program } from '../../src/engine/execution/program';
import { GraphBuilder } from '../../src/engine/graph/builder';
import { cudaGaps } from '../../src/engine/graph/cudaKernels';
import type { Graph } from '../../src/engine/graph/graph';
import { optimizers } from '../../src/engine/optim/registry';
import { openRuntime, type Runtime } from '../../src/engine/session';
import { baseGraphs, families, methodGraphs, updateGraphs } from '../contracts/cudaGraphs';
import { possible, standIns } from './standIns';

let runtime: Runtime;
const folder = mkdtempSync(join(tmpdir(), 'workbench-cudnn-'));
before(() => {
  if (!possible) return;
  standIns(folder);
  runtime = openRuntime({ device: { kind: 'cuda' } });
});
after(async () => {
  if (possible) await runtime.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(graph: Graph): Promise<void> {
  const program = await Program.open(runtime, graph, new Map());
  // Windows of dropout's bits, by their bounds.
  for (const { op, inputs, outputs } of graph.nodes)
    if (op === 'DynamicSlice') program.feed(inputs[2]!.name, BigInt64Array.of(BigInt(outputs[0]!.shape[0]!)));
  try {
    await program.run();
  } finally {
    program.release();
  }
}

const shapes: [number[], number[]][] = [
  [[8], [0]],
  [[4, 8], [0]],
  [[4, 8], [1]],
  [
    [4, 8],
    [0, 1],
  ],
  [[2, 3, 4], [1]],
  [
    [2, 3, 4],
    [0, 2],
  ],
  [
    [2, 3, 4],
    [1, 2],
  ],
  [[2, 3, 1, 4], [1]],
  [
    [2, 3, 1, 4],
    [2, 3],
  ],
];

test('the provider asks for cuDNN in the reductions that the table names', { skip: !possible }, async () => {
  const asked: string[] = [];
  for (const op of ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceSumSquare'] as const) {
    for (const [shape, axes] of shapes) {
      const b = new GraphBuilder('sample');
      const y = b.op(op, [b.input('x', 'float32', shape)], { axes, keepdims: 0 });
      const graph = b.finish([{ name: 'y', value: y }]);
      // Fallbacks allowed, so that the provider answers and not the table.
      process.env.LORA_WORKBENCH_CPU_FALLBACK = '1';
      const refused = await run(graph).then(
        () => false,
        (error: Error) => {
          assert.match(error.message, /cuDNN/);
          return true;
        },
      );
      delete process.env.LORA_WORKBENCH_CPU_FALLBACK;
      const what = `${op} [${shape.join(', ')}] over ${axes.join(', ')}`;
      assert.equal(cudaGaps(graph).length > 0, refused, what);
      if (refused) asked.push(what);
    }
  }
  assert.ok(asked.length > 0 && asked.length < 4 * shapes.length);
});

const chosen = ['float32', 'bfloat16'] as const;
for (const family of families) {
  test(`${family}: every method runs without it`, { skip: !possible }, async () => {
    // The methods' own parts are the same in every family.
    const own = family === families[0] ? variants : variants.filter(({ id }) => id === 'lora');
    for (const variant of own)
      for await (const graph of methodGraphs(family, variant, chosen)) await run(graph);
    for await (const graph of baseGraphs(family, chosen)) await run(graph);
  });
}

for (const optimizer of optimizers) {
  test(`${optimizer.id}: updates run without it`, { skip: !possible }, async () => {
    for await (const graph of updateGraphs(optimizer)) await run(graph);
  });
}
