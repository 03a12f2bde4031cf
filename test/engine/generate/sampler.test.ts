// Choosing the next token: what may be drawn, how often, and how ties fall.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argmax, type SamplingOptions, sampleToken } from '../../../src/engine/generate/sampler';
import { Random } from '../../../src/engine/random';

/** Probabilities of five tokens; the logits are their logarithms. */
const probabilities = [0.1, 0.4, 0.05, 0.25, 0.2];
const logits = (): Float32Array => Float32Array.from(probabilities, Math.log);
const draws = 20_000;

function frequencies(options: Partial<SamplingOptions>, from: () => Float32Array = logits): number[] {
  const random = new Random(3, 'sampler test');
  const counts = Array.from(from(), () => 0);
  for (let i = 0; i < draws; i++)
    counts[sampleToken(from(), { temperature: 1, topP: 1, topK: 0, ...options }, random)]!++;
  return counts.map((count) => count / draws);
}

/** Four standard deviations of a frequency. */
function assertNear(found: number[], expected: number[]): void {
  for (const [i, p] of expected.entries()) {
    const bound = 4 * Math.sqrt((p * (1 - p)) / draws);
    assert.ok(Math.abs(found[i]! - p) <= bound + 1e-5, `token ${i} came ${found[i]}, expected ${p}`);
  }
}

test('plain sampling follows the probabilities', () => assertNear(frequencies({}), probabilities));

test('temperature sharpens: probabilities to the power of its inverse', () => {
  const powers = probabilities.map((p) => p ** 2);
  const total = powers.reduce((a, b) => a + b);
  assertNear(
    frequencies({ temperature: 0.5 }),
    powers.map((p) => p / total),
  );
});

test('top-k keeps the k most probable and nothing else', () => {
  assertNear(frequencies({ topK: 2 }), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]);
  assertNear(frequencies({ topK: 1 }), [0, 1, 0, 0, 0]);
  assertNear(frequencies({ topK: 9 }), probabilities);
});

test('top-p keeps the smallest set that reaches p', () => {
  assertNear(frequencies({ topP: 0.39 }), [0, 1, 0, 0, 0]);
  assertNear(frequencies({ topP: 0.6 }), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]);
  assertNear(frequencies({ topP: 0.8 }), [0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85]);
  assertNear(frequencies({ topP: 1e-9 }), [0, 1, 0, 0, 0]);
});

test('top-p acts on what top-k left, as in transformers', () => {
  // 0.4 of 0.65 is 0.615.
  assertNear(frequencies({ topK: 2, topP: 0.6 }), [0, 1, 0, 0, 0]);
});

test('ties go to the lower ids', () => {
  const equal = (): Float32Array => new Float32Array(6).fill(1.5);
  assert.equal(argmax(equal()), 0);
  assertNear(frequencies({ topK: 2 }, equal), [0.5, 0.5, 0, 0, 0, 0]);
  assertNear(frequencies({ topP: 0.5 }, equal), [1 / 3, 1 / 3, 1 / 3, 0, 0, 0]);
});

test('temperature 0 takes the largest and draws nothing', () => {
  const random = new Random(1);
  assert.equal(sampleToken(logits(), { temperature: 0, topP: 0.1, topK: 3 }, random), 1);
  assert.equal(random.next(), new Random(1).next());
});

test('the repetition penalty weakens what was written, whatever its sign', () => {
  const options = { temperature: 0, topP: 1, topK: 0, repetitionPenalty: 2 };
  assert.equal(sampleToken(Float32Array.of(3, 2, -1), options, new Random(1), [0]), 1);
  assert.equal(sampleToken(Float32Array.of(-1, -1.5, -3), options, new Random(1), [0]), 1);
  assert.equal(sampleToken(Float32Array.of(3, 2, -1), options, new Random(1), [1, 1, 7]), 0);
});

test('logits that are not numbers are said to be', () => {
  const options = { temperature: 1, topP: 1, topK: 0 };
  for (const bad of [
    Float32Array.of(1, Number.NaN),
    Float32Array.of(-Infinity),
    Float32Array.of(Infinity, 1),
  ])
    assert.throws(() => sampleToken(bad, options, new Random(1)), { code: 'logits-not-finite' });
  assert.equal(sampleToken(Float32Array.of(-Infinity, 0), options, new Random(1)), 1);
});
