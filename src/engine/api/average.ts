// The call `average`: an adapter whose gates depend on the input (AM-LoRA) as a plain LoRA with each gate at its mean over a
// dataset's tokens, and what that costs: the loss on the same data before and after. Not exact, unlike `convert`.
import { resolve } from 'node:path';
import type { AverageParams, AverageResult, EngineHost } from '../../protocol/trainer';
import { loraExport } from '../adapters/adapterFiles';
import { configForAdapters } from '../adapters/baseConfig';
import { loadAdapter } from '../adapters/loaded';
import { tensorsOfSite } from '../adapters/plan';
import type { LoraForm } from '../adapters/variant';
import { openCheckpoint } from '../checkpoint/folder';
import { AdapterError, RunError } from '../errors';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { Evaluator, uploadParameters } from '../execution/evaluator';
import { choosePrecision } from '../execution/precision';
import { modelFromConfig } from '../models/registry';
import { writeDerived } from './derivedAdapter';
import { measuredBatches } from './evaluate';

/** Raises AdapterError where the method has nothing to average, and UserError for whatever a person can mend. */
export async function average(params: AverageParams, host: EngineHost): Promise<AverageResult> {
  const checkpoint = await openCheckpoint(params.model);
  const model = modelFromConfig(await configForAdapters(checkpoint.config, [params.adapter]));
  const adapter = await loadAdapter(params.adapter, model);
  const { plan, values } = adapter;
  const { variant, settings } = plan;
  const { averaged } = variant;
  if (!averaged)
    throw new AdapterError({
      code: 'adapter-not-averageable',
      message: `${adapter.folder} is a ${variant.id} adapter, which has no gates to average.`,
      remedy: 'Leave --average-over out.',
    });
  const batches = await measuredBatches(params, checkpoint.folder, model);
  const precision = await choosePrecision('auto', chooseDevice(params.device));
  const runtime = openDevice(params);
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model, precision);
    const gated = uploadParameters(runtime, plan, values);
    const evaluator = new Evaluator({ runtime, model, weights, parameters: gated });
    const sums = new Map<string, Float64Array>();
    let [lossBefore, lossAfter, trained, tokens] = [0, 0, 0, 0];
    const step = (message: string, k: number): void => {
      if (host.cancelRequested) throw cancelled();
      const fraction = k / (2 * batches.count);
      host.emit({ type: 'progress', phase: 'evaluating', message, fraction, time: new Date().toISOString() });
    };
    for (let k = 0; k < batches.count; k++) {
      step(`Gates of batch ${k + 1} of ${batches.count}`, k);
      const batch = batches.batch(k);
      lossBefore += await evaluator.loss(batch, false);
      trained += batch.trainedTokens;
      const { segments } = batch;
      tokens += segments.reduce((count, segment) => count + (segment > 0 ? 1 : 0), 0);
      for (const [name, gates] of await evaluator.observed(batch)) {
        const width = gates.length / segments.length;
        const sum = sums.get(name) ?? new Float64Array(width);
        // Segment 0 is padding, whose gates mean nothing.
        segments.forEach((segment, token) => {
          if (segment > 0) for (let i = 0; i < width; i++) sum[i]! += gates[token * width + i]!;
        });
        sums.set(name, sum);
      }
    }
    evaluator.release();
    gated.release();

    const means = new Map(
      [...sums].map(([name, sum]) => [
        name.slice(0, name.lastIndexOf('.')),
        Float32Array.from(sum, (x) => x / tokens),
      ]),
    );
    const files = loraExport(
      plan,
      values,
      checkpoint.folder,
      (site): LoraForm => averaged(site, tensorsOfSite(values, site), settings, means.get(site.path)!),
    );
    const out = resolve(params.out);
    await writeDerived(out, files, checkpoint.folder, [
      ['Averaged from', adapter.folder],
      ['Tokens', tokens],
    ]);
    const plain = await loadAdapter(out, model);
    const parameters = uploadParameters(runtime, plain.plan, plain.values);
    const after = new Evaluator({ runtime, model, weights, parameters });
    for (let k = 0; k < batches.count; k++) {
      step(`The loss without gates, batch ${k + 1} of ${batches.count}`, batches.count + k);
      lossAfter += await after.loss(batches.batch(k), false);
    }
    return {
      out,
      modules: plan.sites.size,
      rank: Math.max(...[...plain.plan.sites.values()].map(({ r }) => r)),
      gates: [...means].map(([path, gates]) => ({ path, means: [...gates] })),
      tokens,
      lossBefore: lossBefore / trained,
      lossAfter: lossAfter / trained,
      warnings: adapter.warnings,
    };
  } finally {
    await runtime.close();
  }
}

function cancelled(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'Averaging was cancelled.',
    remedy: 'Start it again.',
  });
}
