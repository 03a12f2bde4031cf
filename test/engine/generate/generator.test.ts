// Generating from ids: batches, seeds, ends of texts, cancelling, swapping adapters.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { type GenerationOptions, Generator } from '../../../src/engine/generate/generator';
import {
  type GenerationRequest,
  generateRequests,
  type Selection,
} from '../../../src/engine/generate/requests';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());
const greedy: GenerationOptions = {
  maxNewTokens: 12,
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 1,
  eosIds: [],
};
const prompts = [
  [5, 9, 33],
  [71],
  [12, 88, 4, 60, 7, 19, 2, 30, 41, 55, 6, 8, 93, 17, 21, 50, 64],
  [5, 9, 33],
];

async function opened(name: string) {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', name));
  const model = modelFromConfig(checkpoint.config);
  const weights = BaseWeights.of(runtime, checkpoint, model);
  return { model, weights, generator: new Generator({ runtime, model, weights }) };
}

for (const name of ['gpt2', 'llama-gqa-tied', 'mistral-sliding', 'llama-rope-dynamic']) {
  test(`${name}: a batch writes what its rows write alone`, async () => {
    const { generator } = await opened(name);
    const together = await generator.generate(prompts, greedy);
    for (const [i, prompt] of prompts.entries()) {
      assert.equal(together[i]!.ids.length, 12);
      assert.deepEqual(await generator.generate([prompt], greedy), [together[i]]);
    }
    assert.deepEqual(await generator.generate(prompts, { ...greedy, batchSize: 3 }), together);
    generator.release();
  });
}

test('a seed fixes what is drawn, whatever the batch; equal prompts differ', async () => {
  const { generator } = await opened('llama-plain');
  const options = { ...greedy, temperature: 1, topK: 40, topP: 0.95, seed: 7 };
  const first = await generator.generate(prompts, options);
  assert.deepEqual(await generator.generate(prompts, options), first);
  assert.deepEqual(await generator.generate([prompts[2]!], options), [first[2]]);
  assert.notDeepEqual(first[0]!.ids, first[3]!.ids);
  assert.notDeepEqual(await generator.generate(prompts, { ...options, seed: 8 }), first);
  generator.release();
});

test('any EOS id ends a text and is left out; others go on', async () => {
  const { generator } = await opened('llama-plain');
  const free = await generator.generate(prompts, greedy);
  const eosIds = [free[0]!.ids[4]!, free[1]!.ids[7]!];
  const stopped = await generator.generate(prompts, { ...greedy, eosIds });
  for (const [i, { ids }] of free.entries()) {
    const end = ids.findIndex((id) => eosIds.includes(id));
    assert.deepEqual(stopped[i], {
      ids: end < 0 ? ids : ids.slice(0, end),
      finishReason: end < 0 ? 'length' : 'stop',
    });
  }
  assert.ok(stopped.some(({ finishReason }) => finishReason === 'stop'));
  generator.release();
});

test('the model’s last position ends a text', async () => {
  // gpt2 has 32 positions.
  const { generator } = await opened('gpt2');
  const long = Array.from({ length: 25 }, (_, i) => 3 + i);
  const results = await generator.generate([long, [5, 9]], { ...greedy, maxNewTokens: 20 });
  assert.deepEqual(
    results.map(({ ids, finishReason }) => [ids.length, finishReason]),
    [
      [7, 'length'],
      [20, 'length'],
    ],
  );
  const full = Array.from({ length: 31 }, (_, i) => 3 + i);
  assert.equal((await generator.generate([full], greedy))[0]!.ids.length, 1);
  await assert.rejects(generator.generate([[...full, 40], [], [5, 101]], greedy), (error: Error) => {
    assert.match(error.message, /prompt 1: has 32 tokens; the model has 32 positions/);
    assert.match(error.message, /prompt 2: has no tokens/);
    assert.match(error.message, /prompt 3: has the token id 101/);
    return true;
  });
  generator.release();
});

test('cancelling between tokens returns what there is; tokens come one by one', async () => {
  const { generator } = await opened('qwen2');
  const seen: number[][] = prompts.map(() => []);
  const options = { ...greedy, batchSize: 2, cancelled: () => seen.flat().length >= 6 };
  const results = await generator.generate(prompts, options, (prompt, id) => seen[prompt]!.push(id));
  assert.deepEqual(
    results.map(({ ids }) => ids),
    seen,
  );
  assert.equal(seen.flat().length, 6);
  assert.ok(results.every(({ finishReason }) => finishReason === 'cancelled'));
  const free = await generator.generate(prompts, greedy);
  for (const [i, ids] of seen.entries()) assert.deepEqual(ids, free[i]!.ids.slice(0, ids.length));
  generator.release();
});

test('adapters are swapped under open graphs', async () => {
  const { generator, model } = await opened('llama-plain');
  const load = (name: string) => loadAdapter(join('test/goldens/adapters', name, 'adapter'), model);
  const [qv, head, wide] = await Promise.all(
    ['llama-qv', 'llama-modules-to-save-head', 'llama-rank-above-width'].map(load),
  );
  const base = await generator.generate(prompts, greedy);
  assert.equal(await generator.setAdapters([qv!]), true);
  const withQv = await generator.generate(prompts, greedy);
  assert.notDeepEqual(withQv, base);
  assert.equal(await generator.setAdapters([head!]), true, 'a whole head is new');
  const withHead = await generator.generate(prompts, greedy);
  assert.equal(await generator.setAdapters([qv!]), false);
  assert.deepEqual(await generator.generate(prompts, greedy), withQv);
  assert.equal(await generator.setAdapters([head!]), false);
  assert.deepEqual(await generator.generate(prompts, greedy), withHead);
  assert.equal(await generator.setAdapters([wide!]), true, 'a higher rank is new');
  assert.equal(await generator.setAdapters([qv!, head!]), true, 'ranks add up');
  assert.equal(await generator.setAdapters([head!, qv!]), false);
  assert.equal(await generator.setAdapters([]), false);
  assert.deepEqual(await generator.generate(prompts, greedy), base);
  generator.release();
});

for (const [base, names, alone] of [
  ['llama-plain', ['llama-qv', 'llama-embedding'], 'llama-modules-to-save-head'],
  ['llama-biases', ['llama-lora-bias'], 'llama-bias-all'],
  ['llama-plain', ['llama-qv', 'llama-rank-above-width'], 'llama-dora'],
  ['gpt2', ['gpt2-c-attn', 'gpt2-wte', 'gpt2-c-proj-flag-wrong'], 'gpt2-bias-all'],
] as const) {
  test(`${base}, ${alone} beside ${names.join(', ')}: requests with adapters of their own write what each writes alone`, async () => {
    const { generator, model } = await opened(base);
    const load = (name: string) => loadAdapter(join('test/goldens/adapters', name, 'adapter'), model);
    const adapters = await Promise.all(names.map(load));
    const selections: Selection[] = [
      [{ adapter: adapters[0]!, weight: 1 }],
      [],
      ...adapters.slice(1).map((adapter) => [{ adapter, weight: 1 }]),
      [
        { adapter: adapters[0]!, weight: 0.5 },
        { adapter: adapters.at(-1)!, weight: -1.5 },
      ],
    ];
    // The same prompts under every selection: what differs comes from adapters alone.
    const requests = selections.flatMap((selection) =>
      prompts.slice(0, 3).map((prompt) => ({ prompt, selection })),
    );
    const together = async (given: readonly GenerationRequest[], options: GenerationOptions) => {
      const streamed: number[][] = given.map(() => []);
      const results = await generateRequests(generator, given, options, (i, id) => streamed[i]!.push(id));
      assert.deepEqual(
        results.map(({ ids }) => ids),
        streamed,
      );
      return results;
    };
    for (const options of [greedy, { ...greedy, temperature: 1, topK: 40, seed: 5 }]) {
      const mixed = await together(requests, options);
      for (const [i, request] of requests.entries())
        assert.deepEqual(await generateRequests(generator, [request], options), [mixed[i]], `request ${i}`);
      const texts = new Set(
        selections.map((_, i) => JSON.stringify(mixed.slice(3 * i, 3 * i + 3).map(({ ids }) => ids))),
      );
      assert.equal(texts.size, selections.length, 'every selection writes a text of its own');
    }
    // What lies in no factors is every row's: such adapters take turns.
    const whole = [{ adapter: await load(alone), weight: 1 }];
    const withWhole = [requests[0]!, { prompt: prompts[0]!, selection: whole }, requests[3]!];
    const mixed = await together(withWhole, greedy);
    for (const [i, request] of withWhole.entries())
      assert.deepEqual(await generateRequests(generator, [request], greedy), [mixed[i]]);
    generator.release();
  });
}

test('releasing gives all device memory back', async () => {
  const { generator, model, weights } = await opened('llama-plain');
  const before = runtime.memory().tensorBytes;
  await generator.setAdapters([
    await loadAdapter('test/goldens/adapters/llama-target-lm-head/adapter', model),
  ]);
  for (const count of [1, 2, 3, 4]) await generator.generate(prompts.slice(0, count), greedy);
  await generator.setAdapters([
    await loadAdapter('test/goldens/adapters/llama-modules-to-save-norm/adapter', model),
  ]);
  await generator.generate(prompts, greedy);
  assert.ok(runtime.memory().tensorBytes > before);
  generator.release();
  assert.equal(runtime.memory().tensorBytes, before);
  weights.release();
});
