// Every graph that a CUDA run may open, of every family, method, optimizer and precision, for tests that walk them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { planAdapter } from '../../src/engine/adapters/plan';
import { variants } from '../../src/engine/adapters/registry';
import type { Variant } from '../../src/engine/adapters/variant';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { evaluationGraph } from '../../src/engine/compile/evaluationGraph';
import { generationGraph } from '../../src/engine/compile/generationGraph';
import { dropoutPoolFor, gradientGraph } from '../../src/engine/compile/gradientGraph';
import { observationGraph } from '../../src/engine/compile/observationGraph';
import { responseGraph } from '../../src/engine/compile/responseGraph';
import { slabViews } from '../../src/engine/compile/slabs';
import { unscaleGraph } from '../../src/engine/compile/unscaleGraph';
import { pieceGraph, updateGraph } from '../../src/engine/compile/updateGraph';
import { packedForms } from '../../src/engine/execution/baseWeights';
import type { GraphBuilder } from '../../src/engine/graph/builder';
import type { Graph } from '../../src/engine/graph/graph';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import type { Optimizer, OptimizerSettings } from '../../src/engine/optim/optimizer';
import { slabsFor } from '../../src/engine/optim/registry';
import { adapterSettings } from './randomAdapter';

export const families = ['llama-gqa-tied', 'mistral-sliding', 'qwen2', 'qwen3', 'gpt2', 'llama-head-dim'];
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

/** Gradients, evaluation and generation of a method. */
export async function* methodGraphs(
  family: string,
  variant: Variant,
  chosen: readonly FloatType[] = types,
): AsyncGenerator<Graph> {
  const model = await modelOf(family);
  const plan = planOf(model, variant);
  const slabs = slabsFor(plan.tensors, settings('adamw'));
  for (const type of chosen) {
    const precision = precisionFor(type, 'cuda');
    const shape = { model, plan, slabs, rows, length, precision };
    for (const checkpointing of ['none', 'selective'] as const) {
      const packing = checkpointing === 'none';
      yield gradientGraph({
        ...shape,
        packing,
        accumulate: packing,
        checkpointing,
        dropoutPool: dropoutPoolFor(plan, rows * length),
      }).graph;
    }
    yield evaluationGraph({ ...shape, packing: true, result: 'loss' }).graph;
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
      const inputs = new Map(graph.inputs.map(({ name, dtype }) => [name, dtype]));
      for (const { past } of cache) assert.equal(inputs.get(past), precision.cache);
      yield graph;
    }
  }
}

/** The base by itself, what a start or a preparation observes, and weights in four bits. */
export async function* baseGraphs(
  family: string,
  chosen: readonly FloatType[] = types,
): AsyncGenerator<Graph> {
  const model = await modelOf(family);
  const plan = planOf(model, variants.find(({ id }) => id === 'lora')!);
  const slabs = slabsFor(plan.tensors, settings('adamw'));
  const sites = [...plan.sites.values()];
  for (const type of chosen) {
    const precision = precisionFor(type, 'cuda');
    const shape = { model, rows, length, packing: false, precision };
    yield evaluationGraph({ ...shape, slabs: [], result: 'logits' }).graph;
    yield observationGraph({ ...shape, sites }).graph;
    yield responseGraph({ ...shape, plan, slabs }).graph;
    for (const doubleQuant of [false, true]) {
      const format = { quantType: 'nf4', blockSize: 64, doubleQuant } as const;
      yield gradientGraph({
        ...shape,
        plan,
        slabs,
        accumulate: true,
        checkpointing: 'selective',
        dropoutPool: 0,
        packed: packedForms(model, new Map(), { format }),
      }).graph;
    }
  }
}

/** An optimizer's updates, whole and in pieces, of every method whose tensors it takes. */
export async function* updateGraphs(optimizer: Optimizer): AsyncGenerator<Graph> {
  const model = await modelOf('llama-gqa-tied');
  for (const variant of variants) {
    const plan = planOf(model, variant, 0);
    const own = Object.fromEntries(optimizer.entry.fields.map(({ key, default: d }) => [key, d ?? null]));
    const small = { galore_rank: 2, min_8bit_size: 64 };
    const chosen = settings(optimizer.id, { ...own, ...small });
    let slabs: ReturnType<typeof slabsFor>;
    try {
      slabs = slabsFor(plan.tensors, chosen);
    } catch {
      // GaLore takes matrices alone.
      continue;
    }
    yield updateGraph(slabs, optimizer, chosen, 'cuda', plan);
    yield pieceGraph(slabs[0]!, optimizer, chosen, 'cuda', plan);
    yield unscaleGraph(slabs);
  }
}
