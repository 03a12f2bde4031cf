// No operator of a CUDA run falls back to the CPU: every graph of every family, method, optimizer and precision against the
// table of CUDA kernels. What fails names operator, schema, types and node.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { variants } from '../../src/engine/adapters/registry';
import type { Variant } from '../../src/engine/adapters/variant';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { evaluationGraph } from '../../src/engine/compile/evaluationGraph';
import { generationGraph } from '../../src/engine/compile/generationGraph';
import { dropoutPoolFor, gradientGraph } from '../../src/engine/compile/gradientGraph';
import { observationGraph } from '../../src/engine/compile/observationGraph';
import { slabViews } from '../../src/engine/compile/slabs';
import { unscaleGraph } from '../../src/engine/compile/unscaleGraph';
import { updateGraph } from '../../src/engine/compile/updateGraph';
import { packedForms } from '../../src/engine/execution/baseWeights';
import { GraphBuilder } from '../../src/engine/graph/builder';
import { cudaGaps, describeGap } from '../../src/engine/graph/cudaKernels';
import type { Graph } from '../../src/engine/graph/graph';
import { finish } from '../../src/engine/graph/passes/finish';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import type { OptimizerSettings } from '../../src/engine/optim/optimizer';
import { optimizers, slabsFor } from '../../src/engine/optim/registry';
import { adapterSettings } from './randomAdapter';

const families = ['llama-gqa-tied', 'mistral-sliding', 'qwen2', 'qwen3', 'gpt2', 'llama-head-dim'];
const types: readonly FloatType[] = ['float32', 'bfloat16', 'float16'];
const [rows, length] = [2, 8];

const settings = (optim: string, own: Record<string, unknown> = {}): OptimizerSettings =>
  ({
    optim,
    weight_decay: 0.01,
    adam_beta1: 0.9,
    adam_beta2: 0.999,
    adam_epsilon: 1e-8,
    max_grad_norm: 1,
    settings: own,
  }) as OptimizerSettings;

async function modelOf(family: string): Promise<Model> {
  return modelFromConfig((await openCheckpoint(join('test', 'goldens', 'models', family))).config);
}

function planOf(model: Model, variant: Variant, lora_dropout = 0.1) {
  const own = Object.fromEntries(variant.entry.fields.map((field) => [field.key, field.default ?? null]));
  const given = variant.id === 'none' ? { lora_dropout: 0 } : { lora_dropout };
  return planAdapter(model, adapterSettings(model, { adapter: variant.id, settings: own, ...given }));
}

function assertPlaced(graph: Graph): void {
  assert.deepEqual(cudaGaps(graph).map(describeGap), [], graph.name);
}

for (const family of families) {
  for (const variant of variants) {
    test(`${family}, ${variant.id}: gradients, evaluation and generation`, async () => {
      const model = await modelOf(family);
      const plan = planOf(model, variant);
      const slabs = slabsFor(plan.tensors, settings('adamw'));
      for (const type of types) {
        const precision = precisionFor(type, 'cuda');
        const shape = { model, plan, slabs, rows, length, precision };
        for (const checkpointing of ['none', 'selective'] as const) {
          const packing = checkpointing === 'none';
          assertPlaced(
            gradientGraph({
              ...shape,
              packing,
              accumulate: packing,
              checkpointing,
              dropoutPool: dropoutPoolFor(plan, rows * length),
            }).graph,
          );
        }
        assertPlaced(evaluationGraph({ ...shape, packing: true, result: 'loss' }).graph);
        for (const positions of [length, 1]) {
          const adapters = { plan, trained: (b: GraphBuilder) => slabViews(b, slabs) };
          const { graph, cache } = generationGraph({
            model,
            rows,
            length: positions,
            capacity: 16,
            precision,
            adapters,
          });
          assertPlaced(graph);
          const inputs = new Map(graph.inputs.map(({ name, dtype }) => [name, dtype]));
          for (const { past } of cache) assert.equal(inputs.get(past), precision.cache);
        }
      }
    });
  }

  test(`${family}: the base by itself, its inputs, and weights in four bits`, async () => {
    const model = await modelOf(family);
    const plan = planOf(model, variants.find(({ id }) => id === 'lora')!);
    const slabs = slabsFor(plan.tensors, settings('adamw'));
    for (const type of types) {
      const precision = precisionFor(type, 'cuda');
      assertPlaced(
        evaluationGraph({ model, slabs: [], rows, length, packing: false, result: 'logits', precision })
          .graph,
      );
      const sites = [...plan.sites.values()];
      assertPlaced(observationGraph({ model, sites, rows, length, packing: false, precision }).graph);
      for (const doubleQuant of [false, true]) {
        const format = { quantType: 'nf4', blockSize: 64, doubleQuant } as const;
        const packed = packedForms(model, new Map(), { format });
        assertPlaced(
          gradientGraph({
            model,
            plan,
            slabs,
            rows,
            length,
            packing: false,
            accumulate: true,
            checkpointing: 'selective',
            dropoutPool: 0,
            precision,
            packed,
          }).graph,
        );
      }
    }
  });
}

for (const optimizer of optimizers) {
  test(`${optimizer.id}: the update`, async () => {
    const model = await modelOf('llama-gqa-tied');
    let fitting = 0;
    for (const variant of variants) {
      const plan = planOf(model, variant, 0);
      const own = Object.fromEntries(optimizer.entry.fields.map(({ key, default: d }) => [key, d ?? null]));
      const chosen = settings(optimizer.id, { ...own, galore_rank: 2 });
      let slabs: ReturnType<typeof slabsFor>;
      try {
        slabs = slabsFor(plan.tensors, chosen);
      } catch {
        // GaLore takes matrices alone.
        continue;
      }
      fitting++;
      assertPlaced(updateGraph(slabs, optimizer, chosen, plan));
      assertPlaced(unscaleGraph(slabs));
    }
    assert.ok(fitting > 0);
  });
}

test('a node without a kernel is named', () => {
  const b = new GraphBuilder('sample');
  const x = b.input('x', 'bfloat16', [2, 3]);
  const graph = b.scope('layer.0', () => b.finish([{ name: 'y', value: b.op('Log', [x], {}) }]));
  assert.deepEqual(cudaGaps(graph).map(describeGap), [
    'Log in layer.0: no kernel for opset 18 (schema 13), input 0 is bfloat16, output 0 is bfloat16',
  ]);
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
