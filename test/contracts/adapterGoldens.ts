// PEFT's adapters in test/goldens/adapters, and our logits for their inputs.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAdapter } from '../../src/engine/adapters/loaded';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { Evaluator, uploadParameters } from '../../src/engine/execution/evaluator';
import { modelFromConfig } from '../../src/engine/models/registry';
import type { Runtime } from '../../src/engine/session';

const folder = join('test', 'goldens', 'adapters');

export const caseNames: readonly string[] = readdirSync(folder);

export interface GoldenCase {
  base: string;
  adapter: string;
  rows: number;
  length: number;
  ids: Int32Array;
  /** Real tokens of each row; the rest is padding. */
  lengths: readonly number[];
  logits: Float32Array;
  /** Undefined where PEFT merges a tied model wrongly. */
  mergedLogits: Float32Array | undefined;
}

export async function goldenCase(name: string): Promise<GoldenCase> {
  const { base } = JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8')) as { base: string };
  const { tensors } = await readSafetensors(join(folder, name, 'expected.safetensors'));
  const integers = async (key: string): Promise<number[]> => {
    const bytes = await readRaw(tensors.get(key)!);
    return Array.from(new BigInt64Array(bytes.slice().buffer), Number);
  };
  const [rows, length] = tensors.get('input_ids')!.shape as [number, number];
  const merged = tensors.get('merged_logits');
  return {
    base: join('test', 'goldens', 'models', base),
    adapter: join(folder, name, 'adapter'),
    rows,
    length,
    ids: Int32Array.from(await integers('input_ids')),
    lengths: await integers('lengths'),
    logits: await readTensor(tensors.get('logits')!),
    mergedLogits: merged && (await readTensor(merged)),
  };
}

/** Our logits [rows·length, vocabulary] for a case's inputs, of any model folder, with or without an adapter. */
export async function logitsOf(
  runtime: Runtime,
  modelFolder: string,
  golden: Pick<GoldenCase, 'ids' | 'rows' | 'length'>,
  adapterFolder?: string,
): Promise<Float32Array> {
  const { ids, rows, length } = golden;
  const checkpoint = await openCheckpoint(modelFolder);
  const model = modelFromConfig(checkpoint.config);
  const adapter = adapterFolder === undefined ? undefined : await loadAdapter(adapterFolder, model);
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const parameters = adapter && uploadParameters(runtime, adapter.plan, adapter.values);
  const evaluator = new Evaluator({ runtime, model, weights, ...(parameters ? { parameters } : {}) });
  const logits = await evaluator.logits({
    rows,
    length,
    ids,
    targets: new Int32Array(ids.length).fill(-100),
    positions: Int32Array.from(ids, (_, i) => i % length),
    segments: new Int32Array(ids.length).fill(1),
    trainedTokens: 0,
    tokens: ids.length,
    sourceRows: [],
  });
  evaluator.release();
  parameters?.release();
  weights.release();
  return logits;
}

/** Largest difference over real tokens. */
export function largestDifference(golden: GoldenCase, ours: Float32Array, expected: Float32Array): number {
  const vocabulary = ours.length / golden.ids.length;
  let worst = 0;
  for (let i = 0; i < ours.length; i++) {
    const position = Math.floor(i / vocabulary);
    if (position % golden.length >= golden.lengths[Math.floor(position / golden.length)]!) continue;
    const difference = Math.abs(ours[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
