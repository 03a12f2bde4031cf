// Generation computes what evaluation computes: with a key/value cache every family's logits are those of the whole text
// in one piece, and adapters in slots give PEFT's logits (goldens: test/reference/models.py and adapters.py).
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAdapter } from '../../src/engine/adapters/loaded';
import { loraConfig } from '../../src/engine/adapters/peftConfig';
import { readAdapterFolder } from '../../src/engine/adapters/peftFile';
import { planAdapter } from '../../src/engine/adapters/plan';
import { settingsOfPeft } from '../../src/engine/adapters/settings';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import { evaluationGraph } from '../../src/engine/compile/evaluationGraph';
import { planSlabs, relayout } from '../../src/engine/compile/slabs';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { loadBase, Program } from '../../src/engine/execution/program';
import { hasForm } from '../../src/engine/generate/slots';
import { Stepper } from '../../src/engine/generate/stepper';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { cachedTolerance, contractRuntime } from './contractRuntime';

const runtime = contractRuntime();
after(() => runtime.close());
const models = join('test', 'goldens', 'models');
const adapters = join('test', 'goldens', 'adapters');

for (const name of readdirSync(models)) {
  test(`${name}: logits over a cache equal those of the whole text`, async () => {
    const { model, weights } = await open(join(models, name));
    const texts = await textsOf(join(models, name));
    const stepper = new Stepper({ runtime, model, weights });
    const reference = await Promise.all(texts.map((text) => wholeText(model, weights, text)));

    // One piece: prompts of many lengths, ragged in one batch.
    for (const cut of [0, 1, 5]) {
      const prompts = texts.map((text, row) => text.slice(0, text.length - cut * (row + 1)));
      const { logits } = await stepper.begin(prompts, 32, 64);
      for (const [row, prompt] of prompts.entries()) {
        const expected =
          model.lengthDependent && cut > 0
            ? (await wholeText(model, weights, prompt)).at(-1)!
            : reference[row]![prompt.length - 1]!;
        assertClose(
          rowOf(logits, row, model),
          expected,
          cachedTolerance(1e-4),
          `${prompt.length} positions at once`,
        );
      }
    }
    // Token by token from two positions and from seven, the rows at different places. Frequencies that follow the length
    // give other logits beyond the model's positions, in transformers too.
    for (const start of [1, 6]) {
      const prompts = texts.map((text, row) => text.slice(0, start + row));
      const begun = await stepper.begin(prompts, 24, 64);
      let { logits } = begun;
      let fresh = prompts.map(() => true);
      const lengths = prompts.map((prompt) => prompt.length);
      for (;;) {
        for (const [row, text] of texts.entries()) {
          const position = lengths[row]! - 1;
          if (!fresh[row] || (model.lengthDependent && position >= model.maxPositions)) continue;
          const expected = model.lengthDependent
            ? (await wholeText(model, weights, text.slice(0, position + 1))).at(-1)!
            : reference[row]![position]!;
          assertClose(
            rowOf(logits, row, model),
            expected,
            cachedTolerance(1e-4),
            `row ${row}, position ${position}`,
          );
        }
        fresh = lengths.map((length, row) => length < texts[row]!.length);
        if (!fresh.includes(true)) break;
        const tokens = lengths.map((length, row) => texts[row]![length] ?? 0);
        logits = await begun.batch.step(tokens, fresh);
        for (const [row, goesOn] of fresh.entries()) lengths[row]! += goesOn ? 1 : 0;
      }
    }
    stepper.release();
    weights.release();
  });
}

/** Largest difference of logits against PEFT's on the real positions, prompts ending at each of `ends`. */
async function against(stepper: Stepper, model: Model, folder: string): Promise<number> {
  const expected = await readSafetensors(join(folder, 'expected.safetensors'));
  const logits = await readTensor(expected.tensors.get('logits')!);
  const texts = await textsOf(folder);
  const [, length] = expected.tensors.get('input_ids')!.shape as [number, number];
  let worst = 0;
  for (const end of [1, 4, 16]) {
    const prompts = texts.map((text) => text.slice(0, end));
    const begun = await stepper.begin(prompts, 20, 64);
    let ours = begun.logits;
    for (let step = 0; step < 3; step++) {
      const places = prompts.map((prompt) => prompt.length - 1 + step);
      for (const [row, text] of texts.entries()) {
        const place = places[row]!;
        if (place >= text.length) continue;
        const at = (row * length + place) * model.vocabularySize;
        const want = logits.subarray(at, at + model.vocabularySize);
        worst = Math.max(worst, difference(rowOf(ours, row, model), want));
      }
      const next = texts.map((text, row) => text[places[row]! + 1]);
      if (next.every((id) => id === undefined)) break;
      ours = await begun.batch.step(
        next.map((id) => id ?? 0),
        next.map((id) => id !== undefined),
      );
    }
  }
  return worst;
}

for (const name of readdirSync(adapters)) {
  const folder = join(adapters, name);
  const { base } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { base: string };
  test(`${name}: PEFT's logits, and nothing stays behind`, async () => {
    const { model, weights } = await open(join(models, base));
    const stepper = new Stepper({ runtime, model, weights });
    const texts = await textsOf(folder);
    const before = (await stepper.begin(texts, 20, 64)).logits.slice();
    const adapter = await loadAdapter(join(folder, 'adapter'), model);
    // Slots take another adapter as it is; a method without LoRA form is a graph of its own.
    const own = !hasForm(adapter);
    assert.equal(await stepper.setAdapters([adapter]), true);
    const worst = await against(stepper, model, folder);
    assert.ok(worst < cachedTolerance(3e-5), `largest difference of logits is ${worst}`);
    assert.equal(await stepper.setAdapters([]), own, 'taking adapters away from slots builds nothing');
    assert.deepEqual((await stepper.begin(texts, 20, 64)).logits, before);
    assert.equal(await stepper.setAdapters([adapter]), own, 'putting one back into slots builds nothing');
    assert.equal(await against(stepper, model, folder), worst);
    stepper.release();
    weights.release();
  });
}

test('a method in its own form gives the same logits as its LoRA form', async () => {
  const folder = join(adapters, 'llama-embedding');
  const { model, weights } = await open(join(models, 'llama-plain'));
  const adapter = await loadAdapter(join(folder, 'adapter'), model);
  const { loraForm: _, ...formless } = adapter.plan.variant;
  const native = { ...adapter, plan: { ...adapter.plan, variant: formless } };
  const stepper = new Stepper({ runtime, model, weights });
  assert.equal(await stepper.setAdapters([native]), true);
  assert.ok((await against(stepper, model, folder)) < cachedTolerance(3e-5));
  await assert.rejects(stepper.setAdapters([native, adapter]), /no LoRA form/);
  const texts = await textsOf(folder);
  assert.equal(await stepper.setAdapters([]), true);
  const plain = (await stepper.begin(texts, 20, 64)).logits.slice();
  stepper.release();

  // A training run's state, bound as it is.
  const file = await readAdapterFolder(join(folder, 'adapter'));
  const plan = planAdapter(model, settingsOfPeft(file.config, model.defaultTargets));
  const slabs = planSlabs(plan.tensors);
  const bindings = slabs.map((slab) => {
    const data = new Float32Array(slab.length);
    for (const { tensor, offset } of slab.entries)
      data.set(relayout(adapter.values.get(tensor.name)!, tensor, 'to-device'), offset);
    return [slab.name, runtime.fromHost('float32', [slab.length], data)] as const;
  });
  const live = new Stepper({ runtime, model, weights, live: { plan, slabs, bindings } });
  assert.ok((await against(live, model, folder)) < cachedTolerance(3e-5));
  for (const [, tensor] of bindings) runtime.write(tensor, new Float32Array(tensor.shape[0]!));
  assert.deepEqual((await live.begin(texts, 20, 64)).logits, plain, 'the state is bound, not copied');
  live.release();
  weights.release();
});

test('adapters add up, and two that hold the same whole tensor are refused', async () => {
  const { model, weights } = await open(join(models, 'llama-plain'));
  const load = (name: string) => loadAdapter(join(adapters, name, 'adapter'), model);
  const [qv, patterns, head] = await Promise.all([
    load('llama-qv'),
    load('llama-embedding'),
    load('llama-modules-to-save-head'),
  ]);
  const text = [5, 9, 33, 71];
  const stepper = new Stepper({ runtime, model, weights });
  await stepper.setAdapters([qv, patterns]);
  const both = (await stepper.begin([text], 20, 64)).logits.slice();
  const merged = new Map<string, Float32Array>();
  for (const { plan, values } of [qv, patterns]) {
    for (const site of plan.sites.values()) {
      const form = plan.variant.loraForm!(site, (part) => values.get(`${site.path}.${part}`)!, plan.settings);
      const { weight } = site.module;
      const sum = merged.get(weight) ?? (await weights.values(weight)).slice();
      const embedding = site.module.kind === 'embedding';
      for (let o = 0; o < site.outFeatures; o++)
        for (let i = 0; i < site.inFeatures; i++) {
          let delta = 0;
          for (let k = 0; k < form.rank; k++)
            delta += form.b[o * form.rank + k]! * form.a[k * site.inFeatures + i]!;
          sum[embedding ? i * site.outFeatures + o : o * site.inFeatures + i]! += delta;
        }
      merged.set(weight, sum);
    }
  }
  const changed = {
    packed: new Map(),
    precision: weights.precision,
    values: (name: string) => weights.values(name),
    fromValues: (shape: readonly number[], values: Float32Array) => weights.fromValues(shape, values),
    tensor: async (name: string) => {
      const base = await weights.tensor(name);
      const data = merged.get(name);
      return data ? runtime.fromHost('float32', base.shape, data) : base;
    },
  };
  const reference = new Stepper({ runtime, model, weights: changed });
  assertClose(both, (await reference.begin([text], 20, 64)).logits, cachedTolerance(3e-5), 'two adapters');
  await assert.rejects(stepper.setAdapters([head, head]), /both hold a whole lm_head.weight/);
  reference.release();
  stepper.release();
  weights.release();
});

for (const [base, names] of [
  ['llama-plain', ['llama-qv', 'llama-embedding']],
  ['llama-biases', ['llama-lora-bias']],
  ['gpt2', ['gpt2-c-attn', 'gpt2-wte']],
] as const) {
  test(`${names.join(', ')}: rows that weigh adapters for themselves have the logits of each sum`, async () => {
    const { model, weights } = await open(join(models, base));
    const loaded = await Promise.all(
      names.map((name) => loadAdapter(join(adapters, name, 'adapter'), model)),
    );
    const stepper = new Stepper({ runtime, model, weights });
    const choices = [loaded.map(() => 0), ...loaded.map((_, k) => loaded.map((_, i) => (i === k ? 1.5 : 0)))];
    choices.push(loaded.map((_, i) => 0.5 - i));
    const texts = choices.map((_, row) => [5, 9, 33, 71, 2].slice(0, 3 + (row % 3)));
    assert.equal(await stepper.offerAdapters(loaded), true);
    const mixed = await stepper.begin(texts, 20, 64, choices);
    const first = mixed.logits.slice();
    const second = (
      await mixed.batch.step(
        [7, 8, 9, 10].slice(0, texts.length),
        texts.map(() => true),
      )
    ).slice();
    assert.equal(await stepper.offerAdapters(loaded), false, 'offering the same builds nothing');
    for (const [row, text] of texts.entries()) {
      await stepper.setAdapters(loaded, choices[row]!);
      const alone = await stepper.begin([text], 20, 64);
      const name = `row ${row}`;
      assertClose(rowOf(first, row, model), alone.logits, 2e-5, name);
      assertClose(rowOf(second, row, model), await alone.batch.step([7 + row], [true]), 2e-5, name);
    }
    stepper.release();
    weights.release();
  });
}

test('a weight in four bits that one adapter replaces is its own values with the next', async () => {
  const checkpoint = await openCheckpoint(join(models, 'gpt2'));
  const model = modelFromConfig(checkpoint.config);
  const format = { quantType: 'nf4', blockSize: 64, doubleQuant: true } as const;
  const weights = BaseWeights.of(runtime, checkpoint, model, undefined, { format });
  const path = model.modules.find((module) => module.path.endsWith('mlp.c_fc'))!.path;
  const plain = settingsOfPeft(loraConfig({ r: 2 }), ['c_attn']);
  const filled = (modules_to_save: string[]) => {
    const plan = planAdapter(model, { ...plain, modules_to_save });
    const values = new Map(
      plan.tensors.map((tensor, i) => [
        tensor.name,
        Float32Array.from({ length: tensor.shape.reduce((a, b) => a * b, 1) }, (_, j) => Math.sin(i + j) / 9),
      ]),
    );
    return { plan, values, folder: modules_to_save.join(), warnings: [] };
  };
  const [own, other] = [filled([path]), filled([])];
  const logits = async (stepper: Stepper) => (await stepper.begin([[5, 9, 3]], 20, 64)).logits.slice();
  // Never replaced: products with the four bits themselves.
  const fresh = new Stepper({ runtime, model, weights });
  await fresh.setAdapters([other]);
  const want = await logits(fresh);
  const stepper = new Stepper({ runtime, model, weights });
  await stepper.setAdapters([own]);
  const replaced = await logits(stepper);
  assert.ok(Math.max(...replaced.map((x, i) => Math.abs(x - want[i]!))) > 1e-2);
  assert.equal(await stepper.setAdapters([other]), false, 'the graph takes the weight whole');
  assertClose(await logits(stepper), want, cachedTolerance(1e-4), 'after another adapter');
  fresh.release();
  stepper.release();
  weights.release();
});

test('a tied head that an adapter replaces goes back to the embedding', async () => {
  const { model, weights } = await open(join(models, 'llama-gqa-tied'));
  const settings = { ...settingsOfPeft(loraConfig({ r: 4 }), ['q_proj']), modules_to_save: ['lm_head'] };
  const plan = planAdapter(model, settings);
  const values = new Map<string, Float32Array>();
  for (const tensor of plan.tensors)
    values.set(tensor.name, new Float32Array(tensor.shape.reduce((a, b) => a * b, 1)));
  const stepper = new Stepper({ runtime, model, weights });
  const before = (await stepper.begin([[5, 9]], 20, 64)).logits.slice();
  await stepper.setAdapters([{ plan, values, folder: 'zeros', warnings: [] }]);
  const zero = (await stepper.begin([[5, 9]], 20, 64)).logits;
  assert.ok(zero.every((logit) => logit === 0));
  assert.equal(await stepper.setAdapters([]), false);
  assert.deepEqual((await stepper.begin([[5, 9]], 20, 64)).logits, before);
  stepper.release();
  weights.release();
});

test('dynamic NTK: keys keep the frequencies of the length they were made at, as in transformers', async () => {
  const folder = join(models, 'llama-rope-dynamic');
  const { model, weights } = await open(folder);
  const [text] = await textsOf(folder);
  const stepper = new Stepper({ runtime, model, weights });
  const { batch } = await stepper.begin([text!.slice(0, 10)], 20, 64);
  let logits: Float32Array | undefined;
  for (const id of text!.slice(10)) logits = await batch.step([id], [true]);
  // transformers 5.23.0 with use_cache, one token at a time from the tenth: the first logits of the twentieth position.
  assertClose(logits!.subarray(0, dynamicLogits.length), dynamicLogits, cachedTolerance(1e-4), 'position 19');
  stepper.release();
  weights.release();
});

const dynamicLogits = Float32Array.of(
  0.509109,
  -0.520583,
  0.225243,
  0.281993,
  0.656622,
  -0.86998,
  -0.537202,
  0.15682,
);

async function open(folder: string): Promise<{ model: Model; weights: BaseWeights }> {
  const checkpoint = await openCheckpoint(folder);
  const model = modelFromConfig(checkpoint.config);
  return { model, weights: BaseWeights.of(runtime, checkpoint, model) };
}

/** The rows of a golden without their padding. */
async function textsOf(folder: string): Promise<number[][]> {
  const { tensors } = await readSafetensors(join(folder, 'expected.safetensors'));
  const integers = async (key: string): Promise<number[]> => {
    const bytes = await readRaw(tensors.get(key)!);
    return Array.from(new BigInt64Array(bytes.slice().buffer), Number);
  };
  const [ids, lengths] = [await integers('input_ids'), await integers('lengths')];
  const width = ids.length / lengths.length;
  return lengths.map((length, row) => ids.slice(row * width, row * width + length));
}

/** Logits of every position by the evaluation graph. */
async function wholeText(model: Model, weights: BaseWeights, text: number[]): Promise<Float32Array[]> {
  const { graph, baseInputs } = evaluationGraph({
    model,
    slabs: [],
    rows: 1,
    length: text.length,
    packing: false,
    result: 'logits',
  });
  const program = await Program.open(runtime, graph, new Map(await loadBase(baseInputs, weights)));
  program.feed('ids', BigInt64Array.from(text, BigInt));
  program.feed(
    'positions',
    BigInt64Array.from(text, (_, i) => BigInt(i)),
  );
  await program.run();
  const logits = program.read('logits') as Float32Array;
  program.release();
  return text.map((_, position) => rowOf(logits, position, model));
}

function rowOf(logits: Float32Array, row: number, model: Model): Float32Array {
  return logits.subarray(row * model.vocabularySize, (row + 1) * model.vocabularySize);
}

function difference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

function assertClose(ours: Float32Array, expected: Float32Array, limit: number, what: string): void {
  const worst = difference(ours, expected);
  assert.ok(worst < limit, `${what}: largest difference of logits is ${worst}`);
}
