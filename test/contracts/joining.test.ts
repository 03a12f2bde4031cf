// Joined products are the same numbers: loss and gradients of every family and method with the pass on and off, base weights
// as parts of one tensor, and how many products are left.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { variants } from '../../src/engine/adapters/registry';
import type { Variant } from '../../src/engine/adapters/variant';
import { type Checkpoint, openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readTensor } from '../../src/engine/checkpoint/safetensors';
import { gradientGraph } from '../../src/engine/compile/gradientGraph';
import { joiningOf, projectionGroups } from '../../src/engine/compile/projections';
import { BaseWeights, packedForms } from '../../src/engine/execution/baseWeights';
import { joinRule, whatever, worthwhile } from '../../src/engine/execution/joining';
import { type JoinRule, joinedName } from '../../src/engine/graph/passes/join';
import { precisionFor } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { slabsFor } from '../../src/engine/optim/registry';
import { Random } from '../../src/engine/random';
import { Trainer, type TrainerSettings } from '../../src/engine/train/trainer';
import { contractRuntime } from './contractRuntime';
import { adapterSettings, randomBatch, randomEarlier } from './randomAdapter';
import { plainTrainer } from './trainerSettings';

const runtime = contractRuntime();
after(() => runtime.close());

const families = ['llama-gqa-tied', 'llama-biases', 'mistral-sliding', 'qwen2', 'qwen3', 'gpt2'];

async function golden(family: string): Promise<{ checkpoint: Checkpoint; model: Model }> {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', family));
  return { checkpoint, model: modelFromConfig(checkpoint.config) };
}

function planOf(model: Model, variant: Variant, lora_dropout = 0) {
  const own = Object.fromEntries(variant.entry.fields.map((field) => [field.key, field.default ?? null]));
  const given = adapterSettings(model, {
    adapter: variant.id,
    settings: own,
    target_modules: 'all-linear',
    lora_dropout: variant.id === 'none' ? 0 : lora_dropout,
  });
  const plan = planAdapter(model, given);
  return variant.earlier ? planAdapter(model, given, randomEarlier(plan, 0.2)) : plan;
}

/** Loss and gradients of one batch, from the same random parameters. */
async function measured(
  { checkpoint, model }: { checkpoint: Checkpoint; model: Model },
  variant: Variant,
  rule: JoinRule | undefined,
  more: Partial<TrainerSettings> & { lora_dropout?: number } = {},
) {
  const { lora_dropout, ...changed } = more;
  const precision = precisionFor('float32', runtime.device.kind);
  const weights = BaseWeights.of(runtime, checkpoint, model, precision, undefined, rule);
  const plan = planOf(model, variant, lora_dropout);
  const batch = randomBatch(model);
  const trainer = await Trainer.create({
    runtime,
    model,
    weights,
    plan,
    largestBatchTokens: batch.tokens,
    settings: { ...plainTrainer, ...changed },
    totalSteps: 10,
  });
  try {
    const random = new Random(9, 'values');
    const values = trainer.state.readAll();
    for (const data of values.values())
      for (let i = 0; i < data.length; i++) data[i]! += 0.05 * random.normal();
    trainer.state.write(values);
    const { loss } = await trainer.accumulate(batch, batch.trainedTokens, false, 0);
    const eval_ = await trainer.evaluate(batch, false);
    return { loss, evaluated: eval_, gradients: trainer.state.readAll('gradient') };
  } finally {
    trainer.release();
    weights.release();
  }
}

async function assertEqual(
  family: string,
  variant: Variant,
  more: Partial<TrainerSettings> & { lora_dropout?: number } = {},
): Promise<void> {
  const given = await golden(family);
  const apart = await measured(given, variant, undefined, more);
  const joined = await measured(given, variant, whatever, more);
  const near = (a: number, b: number, what: string): void =>
    assert.ok(Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(b)), `${what}: ${a}, apart ${b}`);
  near(joined.loss, apart.loss, 'loss');
  near(joined.evaluated, apart.evaluated, 'evaluation');
  const norm = (values: Iterable<number>): number =>
    Math.sqrt([...values].reduce((total, x) => total + x * x, 0));
  const [differences, sizes]: [number[], number[]] = [[], []];
  for (const [name, gradient] of apart.gradients) {
    const other = joined.gradients.get(name)!;
    differences.push(norm(gradient.map((x, i) => x - other[i]!)));
    sizes.push(norm(gradient));
    assert.ok(
      differences.at(-1)! <= 1e-5 * sizes.at(-1)! + 1e-8 * joined.loss,
      `${name}: ${differences.at(-1)}`,
    );
  }
  assert.ok(norm(differences) <= 1e-6 * norm(sizes), `gradients: ${norm(differences)} of ${norm(sizes)}`);
}

for (const family of families) {
  for (const variant of variants) {
    test(`${family}, ${variant.id}: joined products give the same loss and gradients`, () =>
      assertEqual(family, variant));
  }
}

const lora = variants.find(({ id }) => id === 'lora')!;
for (const gradient_checkpointing of ['none', 'full'] as const)
  test(`${gradient_checkpointing} checkpointing, dropout: the same`, async () => {
    await assertEqual('qwen2', lora, { gradient_checkpointing });
    await assertEqual('qwen2', lora, { gradient_checkpointing, lora_dropout: 0.2 });
  });

test('weights are parts of one tensor: their values, what replaces them, and their memory', async () => {
  const { checkpoint, model } = await golden('llama-biases');
  const before = runtime.memory().tensorBytes;
  const weights = BaseWeights.of(runtime, checkpoint, model, undefined, undefined, whatever);
  const groups = projectionGroups(model);
  assert.deepEqual(
    groups.slice(0, 4).map((names) => names.map((name) => name.split('.').slice(-2).join('.'))),
    [
      ['q_proj.weight', 'k_proj.weight', 'v_proj.weight'],
      ['q_proj.bias', 'k_proj.bias', 'v_proj.bias'],
      ['gate_proj.weight', 'up_proj.weight'],
      ['gate_proj.bias', 'up_proj.bias'],
    ],
  );
  let bytes = 0;
  for (const names of groups) {
    const tensors = await Promise.all([joinedName(names), ...names].map((name) => weights.tensor(name)));
    const [whole, ...parts] = tensors.map((tensor) => runtime.read(tensor) as Float32Array);
    assert.deepEqual(Float32Array.from(parts.flatMap((part) => [...part])), whole);
    for (const [i, name] of names.entries())
      assert.deepEqual(parts[i], await readTensor(checkpoint.tensors.get(name)!), name);
    bytes += tensors[0]!.bytes;
  }
  assert.equal(runtime.memory().tensorBytes - before, bytes, 'nothing lies twice');
  const [q, k, v] = groups[0]!;
  const values = new Float32Array((await weights.tensor(k!)).bytes / 4).fill(7);
  const kept = runtime.read(await weights.tensor(v!));
  weights.replace(k!, values);
  assert.deepEqual(runtime.read(await weights.tensor(k!)), values);
  assert.deepEqual(runtime.read(await weights.tensor(v!)), kept);
  const pair = (await weights.tensor(joinedName([q!, k!]))) as { shape: readonly number[] };
  assert.equal(pair.shape[0], model.heads * model.headSize + model.keyValueHeads * model.headSize);
  weights.release();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(runtime.memory().tensorBytes, before);
});

test('a weight that is put in four bits leaves its group', async () => {
  const { checkpoint, model } = await golden('llama-plain');
  const format = { quantType: 'nf4', blockSize: 64, doubleQuant: false } as const;
  const quantized = BaseWeights.of(runtime, checkpoint, model, undefined, { format }, whatever);
  assert.deepEqual(quantized.joining?.groups, []);
  const forms = packedForms(model, new Map(), { format });
  assert.deepEqual(joiningOf(model, forms, whatever)?.groups, []);
  quantized.release();
});

test('a Llama-3.2-1B step: products and nodes with and without joining', () => {
  const config = JSON.parse(readFileSync(join('bench', 'models', 'llama-3.2-1b.json'), 'utf8'));
  const model = modelFromConfig(config);
  const plan = planOf(model, lora);
  const slabs = slabsFor(plan.tensors, plainTrainer);
  const counts = (rule: JoinRule | undefined, length: number) => {
    const { graph } = gradientGraph({
      model,
      plan,
      slabs,
      rows: 1,
      length,
      packing: true,
      accumulate: false,
      checkpointing: 'selective',
      dropoutPool: 0,
      precision: precisionFor('bfloat16', 'cuda'),
      joining: joiningOf(model, new Map(), rule),
    });
    const nodes = graph.nodes.filter(({ op }) => op !== 'Reshape').length;
    return { products: graph.nodes.filter(({ op }) => op === 'Gemm').length, nodes };
  };
  const [short, long] = [256, 4096].map((length) => ({
    apart: counts(undefined, length),
    worthwhile: counts(worthwhile, length),
    all: counts(whatever, length),
  }));
  const products = ({ apart, worthwhile: some, all }: NonNullable<typeof short>) =>
    [apart, some, all].map((c) => c.products);
  // Where everything is joined, adapters are folded into their base.
  assert.deepEqual(products(short!), [892, 720, 561]);
  // Every block of the loss has products of its own; long batches split what is wide at a loss, and fold adapters.
  assert.deepEqual(products(long!), [898, 678, 567]);
  assert.ok(short!.worthwhile.nodes <= short!.apart.nodes - 70);
  // Folding an adapter copies both factors in the place of a sum.
  assert.ok(long!.worthwhile.nodes <= long!.apart.nodes);
});

test('the setting decides, and the device where there is none', () => {
  assert.equal(joinRule('cpu', {}), undefined);
  assert.equal(joinRule('cuda', {}), worthwhile);
  assert.equal(joinRule('webgpu', { LORA_WORKBENCH_JOIN_PRODUCTS: 'all' }), undefined);
  assert.equal(joinRule('cuda', { LORA_WORKBENCH_JOIN_PRODUCTS: '0' }), undefined);
  assert.equal(joinRule('cpu', { LORA_WORKBENCH_JOIN_PRODUCTS: 'all' }), whatever);
  assert.throws(() => joinRule('cpu', { LORA_WORKBENCH_JOIN_PRODUCTS: 'yes' }), /expected 0 or all/);
});
