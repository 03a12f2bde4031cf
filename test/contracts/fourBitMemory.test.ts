// No fp32 copy of a weight in four bits lives from the forward pass to the backward, and the forecast knows what one takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { gradientGraph } from '../../src/engine/compile/gradientGraph';
import { planSlabs } from '../../src/engine/compile/slabs';
import { executionOrder } from '../../src/engine/estimate/executionOrder';
import { liveness } from '../../src/engine/estimate/liveness';
import { packedForms } from '../../src/engine/execution/baseWeights';
import { Program } from '../../src/engine/execution/program';
import type { Graph, Node, Value } from '../../src/engine/graph/graph';
import { modelFromConfig } from '../../src/engine/models/registry';
import { activationPeak } from './arenaPeak';
import { contractDevice, contractRuntime } from './contractRuntime';
import { adapterSettings } from './randomAdapter';

const wide = {
  model_type: 'llama',
  hidden_size: 256,
  intermediate_size: 704,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  vocab_size: 64,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
};

const all = 'all-linear';
// Modules without an adapter: their gradient has no product but δ·W, so that without an order of its own the runtime's walk
// makes W long before δ, and many weights are whole at once.
const some = ['q_proj', 'v_proj'];
const cases = [
  { targets: all, checkpointing: 'selective', blockSize: 64 },
  { targets: all, checkpointing: 'selective', blockSize: 1024 },
  { targets: all, checkpointing: 'full', blockSize: 64 },
  { targets: all, checkpointing: 'full', blockSize: 1024 },
  { targets: some, checkpointing: 'none', blockSize: 1024 },
  { targets: some, checkpointing: 'selective', blockSize: 64 },
  { targets: some, checkpointing: 'full', blockSize: 64 },
] as const;

for (const { targets, checkpointing, blockSize } of cases) {
  test(`${targets}, blocks of ${blockSize}, ${checkpointing} checkpointing: one weight at a time is whole, and the forecast knows`, async () => {
    const model = modelFromConfig(wide);
    const plan = planAdapter(model, adapterSettings(model, { target_modules: targets }));
    const format = { quantType: 'nf4', blockSize, doubleQuant: true } as const;
    const compile = (quantised: boolean) =>
      gradientGraph({
        model,
        plan,
        slabs: planSlabs(plan.tensors),
        rows: 1,
        length: 32,
        packing: false,
        accumulate: true,
        checkpointing,
        dropoutPool: 0,
        ...(quantised ? { packed: packedForms(model, new Map(), { format }) } : {}),
      }).graph;
    const measured = async (graph: ReturnType<typeof compile>): Promise<number> => {
      const own = contractRuntime();
      try {
        const program = await Program.open(own, graph, new Map());
        await program.run();
        return activationPeak(own);
      } finally {
        await own.close();
      }
    };
    const graph = compile(true);
    const [whole, packed] = [await measured(compile(false)), await measured(graph)];
    const largestWeight = 4 * wide.hidden_size * wide.intermediate_size;
    const allWeights = 4 * wide.num_hidden_layers * (4 * 256 * 256 + 3 * 256 * 704);
    // Indices, values of both nibbles, scaled and joined, of one weight, and what the arena wastes; of 25 times as many.
    assert.ok(
      packed - whole < 5.75 * largestWeight,
      `${packed - whole} bytes for a weight of ${largestWeight}, ${allWeights} for all`,
    );
    assert.ok(lookups(graph) > 20);
    // Elsewhere kernels take memory of their own beside their values.
    const predicted = liveness(graph).peakBytes;
    if (contractDevice === 'cpu')
      assert.ok(Math.abs(predicted / packed - 1) < 0.06, `predicted ${predicted}, measured ${packed}`);
  });
}

/** How many times a weight is looked up; no look-up begins before the product of the one before is done. */
function lookups(graph: Graph): number {
  let count = 0;
  let pending: Node | undefined;
  for (const node of executionOrder(graph)) {
    if (isLookup(node)) {
      assert.equal(pending, undefined, `${node.scope} is looked up while ${pending?.scope} waits`);
      pending = node;
      count++;
    } else if (node.op === 'Gemm' && node.inputs.some((input) => input && source(input) === pending))
      pending = undefined;
  }
  return count;
}

/** Two values of every byte. */
const isLookup = ({ op, outputs }: Node): boolean =>
  op === 'Concat' && outputs[0]!.shape.length === 2 && outputs[0]!.shape[1] === 2;

/** The look-up that a value is the result of. */
function source(value: Value): Node | undefined {
  const { producer } = value;
  if (!producer || isLookup(producer)) return producer;
  return ['Reshape', 'Slice', 'Mul'].includes(producer.op) ? source(producer.inputs[0]!) : undefined;
}
