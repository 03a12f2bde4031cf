// The call `generate` from text to text, on a small real model where its files are there.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { generate } from '../../../src/engine/api/generate';
import type { EngineHost, GenerateParams, TrainerEvent } from '../../../src/protocol/trainer';

const stories = resolve('../shared/data/stories260k');
const skip = existsSync(stories) ? false : 'the shared data are not here';
const scratch: string[] = [];
after(() => Promise.all(scratch.map((folder) => rm(folder, { recursive: true, force: true }))));

const params: GenerateParams = {
  model: stories,
  adapters: [],
  prompts: ['Once upon a time'],
  chat: false,
  maxNewTokens: 80,
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 0,
  device: 'cpu',
  threads: 1,
};

function recordingHost(cancelAfter = Infinity) {
  const events: TrainerEvent[] = [];
  const host: EngineHost = {
    emit: (event) => events.push(event),
    stopRequested: false,
    get cancelRequested() {
      return events.filter(({ type }) => type === 'token').length >= cancelAfter;
    },
    takeCheckpointRequest: () => false,
  };
  const streamed = (prompt: number): string =>
    events.flatMap((e) => (e.type === 'token' && e.prompt === prompt ? [e.text] : [])).join('');
  return { host, streamed, events };
}

test('stories260k tells the story that transformers tells, streamed', { skip }, async () => {
  const { host, streamed, events } = recordingHost();
  const { completions } = await generate(params, host);
  // transformers 5.23.0, greedy.
  const story =
    ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park";
  assert.deepEqual(completions, [
    { prompt: 'Once upon a time', text: story, tokens: 80, finishReason: 'length' },
  ]);
  assert.equal(streamed(0), story);
  assert.ok(events.filter(({ type }) => type === 'token').length > 40);
});

test('spaces at the seam of prompt and continuation are kept; several prompts, each its own', {
  skip,
}, async () => {
  const prompts = ['Once upon a time, there was a little', 'Once upon a time, there', 'The dog was'];
  const { host, streamed } = recordingHost();
  const { completions } = await generate({ ...params, prompts, maxNewTokens: 20 }, host);
  assert.match(completions[0]!.text, /^ girl named Lily\. She/);
  assert.match(completions[1]!.text, /^ was a little girl named Lily/);
  for (const [i, { text, prompt }] of completions.entries()) {
    assert.equal(prompt, prompts[i]);
    assert.equal(streamed(i), text);
    const alone = await generate({ ...params, prompts: [prompt], maxNewTokens: 20 }, recordingHost().host);
    assert.deepEqual(alone.completions, [completions[i]]);
  }
});

test('chat, an empty prompt, cancelling', { skip }, async () => {
  const chat = await generate({ ...params, chat: true, maxNewTokens: 8 }, recordingHost().host);
  assert.equal(chat.completions[0]!.tokens, 8);
  const empty = await generate({ ...params, prompts: [''], maxNewTokens: 8 }, recordingHost().host);
  assert.equal(empty.completions[0]!.tokens, 8);
  const cancelled = await generate({ ...params, maxNewTokens: 200 }, recordingHost(5).host);
  assert.equal(cancelled.completions[0]!.finishReason, 'cancelled');
  assert.ok(cancelled.completions[0]!.tokens < 20);
});

test('a failed call closes what it opened', { skip }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'generate-'));
  scratch.push(folder);
  await cp(stories, folder, { recursive: true });
  const long = 'word '.repeat(600);
  await assert.rejects(generate({ ...params, model: folder, prompts: [long] }, recordingHost().host), {
    code: 'prompts-invalid',
  });
  await assert.rejects(generate({ ...params, adapters: [folder] }, recordingHost().host), {
    code: 'model-instead-of-adapter',
  });
  const settings = { prompts: [], temperature: -1, topP: 0, topK: 0.5, maxNewTokens: 0, seed: -1 };
  await assert.rejects(generate({ ...params, ...settings }, recordingHost().host), (error: Error) => {
    for (const name of Object.keys(settings)) assert.match(error.message, new RegExp(`${name}: is`));
    return true;
  });
  const { completions } = await generate({ ...params, maxNewTokens: 1 }, recordingHost().host);
  assert.equal(completions[0]!.text, ',');
});
