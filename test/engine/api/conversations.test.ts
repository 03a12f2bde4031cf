// A session says what single calls say, over and over, with adapters going in and out without reading the model again.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type LoraConfig, loraConfig } from '../../../src/engine/adapters/peftConfig';
import { tensorName } from '../../../src/engine/adapters/peftNames';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { closeSession, openSession, say } from '../../../src/engine/api/conversations';
import { generate } from '../../../src/engine/api/generate';
import { Random } from '../../../src/engine/random';
import type { AdapterChoice, EngineHost, SayParams, TrainerEvent } from '../../../src/protocol/trainer';
import { tinyConfig, writeTinyModel } from './tinyModel';

let model = '';
let adapter = '';
let scratch = '';
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'session-'));
  model = join(scratch, 'model');
  adapter = join(scratch, 'adapter');
  await mkdir(model);
  await writeTinyModel(model);
  const random = new Random(5, 'adapter');
  const width = tinyConfig.hidden_size;
  const values = (n: number) => Float32Array.from({ length: n }, () => random.normal());
  const paths = [0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj`);
  const write = (folder: string, change: Partial<LoraConfig> = {}) =>
    writeAdapterFolder(folder, {
      config: loraConfig({
        r: 2,
        lora_alpha: 8,
        target_modules: ['q_proj'],
        base_model_name_or_path: model,
        ...change,
      }),
      tensors: paths.flatMap((path) => [
        { name: tensorName(path, 'lora_A.weight'), shape: [2, width], data: values(2 * width) },
        { name: tensorName(path, 'lora_B.weight'), shape: [width, 2], data: values(2 * width) },
      ]),
    });
  await write(adapter);
  await write(join(scratch, 'pissa'), { init_lora_weights: 'pissa' });
  await write(join(scratch, 'loftq'), {
    init_lora_weights: 'loftq',
    loftq_config: { loftq_bits: 4, loftq_iter: 1 },
  });
});
after(async () => {
  await closeSession({ session: opened });
  await rm(scratch, { recursive: true, force: true });
});

let opened = 0;
const device = { device: 'cpu', threads: 1 };
const sampling = { maxNewTokens: 12, temperature: 0.8, topP: 0.9, topK: 0, seed: 7 };

function recording(cancelAfter = Infinity) {
  const events: TrainerEvent[] = [];
  const host: EngineHost = {
    emit: (event) => events.push(event),
    stopRequested: false,
    get cancelRequested() {
      return events.filter(({ type }) => type === 'token').length >= cancelAfter;
    },
    takeCheckpointRequest: () => false,
  };
  return { host, events };
}

async function saying(change: Partial<SayParams> = {}, cancelAfter?: number) {
  const { host, events } = recording(cancelAfter);
  const params = { session: opened, adapters: [], prompt: 'Hello', chat: false, ...sampling, ...change };
  const result = await say(params, host);
  return { ...result, tokenEvents: events.flatMap((event) => (event.type === 'token' ? [event] : [])) };
}

test('base, adapter and base again give what single calls give', async () => {
  const single = async (adapters: AdapterChoice[]): Promise<string> => {
    const params = { model, adapters, prompts: ['Hello'], chat: false, ...sampling, ...device };
    return (await generate(params, recording().host)).completions[0]!.text;
  };
  const [pissa, loftq] = [join(scratch, 'pissa'), join(scratch, 'loftq')];
  const [base, adapted] = [await single([]), await single([adapter])];
  const sum = [
    { folder: adapter, weight: 0.5 },
    { folder: pissa, weight: -0.5 },
  ];
  const [own, quantised, both] = [await single([pissa]), await single([loftq]), await single(sum)];
  assert.equal(new Set([base, adapted, own, quantised, both]).size, 5, 'five different texts');
  // A process computes with one runtime: single calls come before.
  opened = (await openSession({ model, ...device }, recording().host)).session;
  for (const [adapters, text] of [
    [[], base],
    [[adapter], adapted],
    [[], base],
    [[adapter], adapted],
    [[pissa], own],
    [[loftq], quantised],
    [[], base],
    [[loftq], quantised],
    [[adapter], adapted],
    [[pissa], own],
    [sum, both],
    [[], base],
  ] as const) {
    const said = await saying({ adapters });
    assert.equal(said.text, text);
    assert.equal(said.tokenEvents.map(({ text: piece }) => piece).join(''), text);
  }
  // Neither by another's side nor after that does a base of its own stay behind.
  await assert.rejects(saying({ adapters: [adapter, loftq] }), /loftq belongs to the 4-bit values/);
  assert.equal((await saying({ adapters: [adapter] })).text, adapted);
});

test('tokens come with their probability and what could have stood there', async () => {
  const { tokenEvents } = await saying({ temperature: 0 });
  assert.ok(tokenEvents.length > 0);
  for (const { probability, alternatives = [] } of tokenEvents) {
    assert.ok(probability! > 0 && probability! <= 1);
    assert.equal(alternatives.length, 5);
    const sorted = [...alternatives].sort((a, b) => b.probability - a.probability);
    assert.deepEqual(alternatives, sorted);
  }
  // Greedy: the chosen one is the most likely, unless a character took several tokens.
  assert.ok(
    tokenEvents.some(({ probability, alternatives }) => probability === alternatives![0]!.probability),
  );
});

test('a cancelled answer leaves the session open; an unknown one says so', async () => {
  const cut = await saying({ maxNewTokens: 60 }, 3);
  assert.equal(cut.finishReason, 'cancelled');
  assert.ok((await saying()).tokens > 0);
  await assert.rejects(saying({ session: opened + 1 }), { code: 'session-closed' });
  await assert.rejects(saying({ adapters: [join(scratch, 'none')] }), { code: 'adapter-missing' });
  assert.ok((await saying({ adapters: [adapter] })).tokens > 0);
  await assert.rejects(saying({ temperature: -1 }), { code: 'generation-settings-invalid' });
});

test('strength 0 is the base, 1 the adapter, and what lies between is neither', async () => {
  const [base, whole] = [await saying(), await saying({ adapters: [adapter] })];
  assert.equal((await saying({ adapters: [adapter], strength: 0 })).text, base.text);
  assert.equal((await saying({ adapters: [adapter], strength: 1 })).text, whole.text);
  const first = (result: { tokenEvents: { alternatives?: readonly { probability: number }[] }[] }) =>
    result.tokenEvents[0]!.alternatives![0]!.probability;
  const half = await saying({ adapters: [adapter], strength: 0.5 });
  assert.notEqual(first(half), first(base));
  assert.notEqual(first(half), first(whole));
  await assert.rejects(saying({ adapters: [adapter], strength: Number.NaN }), /strength is NaN/);
});
