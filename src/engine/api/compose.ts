// The call `compose`: several adapters of one model as one LoRA folder that PEFT loads.
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ComposeParams, ComposeResult, EngineHost } from '../../protocol/trainer';
import { adapterFiles } from '../adapters/adapterFiles';
import { baseConfigName } from '../adapters/adapterNames';
import { baseConfigFile, configForAdapters } from '../adapters/baseConfig';
import { combineAdapters } from '../adapters/combine';
import { loadAdapter } from '../adapters/loaded';
import { writeAdapterFolder } from '../adapters/peftWriting';
import { openCheckpoint } from '../checkpoint/folder';
import { BaseWeights } from '../execution/baseWeights';
import { openDevice } from '../execution/device';
import { diskError } from '../files/diskErrors';
import { productsOn } from '../linalg/deviceProducts';
import { modelFromConfig } from '../models/registry';
import { fittedAdapters } from './adapterChoices';

/** Combines adapters. Raises AdapterError or CheckpointError; nothing half-written is left. */
export async function compose(params: ComposeParams, host: EngineHost): Promise<ComposeResult> {
  const out = resolve(params.out);
  const checkpoint = await openCheckpoint(params.model);
  const config = await configForAdapters(
    checkpoint.config,
    params.adapters.map(({ folder }) => folder),
  );
  const model = modelFromConfig(config);
  const loaded = [];
  for (const { folder } of params.adapters)
    loaded.push(await loadAdapter(folder, model, { acceptsBaseChange: true }));
  const time = new Date().toISOString();
  host.emit({ type: 'progress', phase: 'merging', message: 'Combining the adapters', fraction: null, time });
  const runtime = openDevice(params);
  const products = productsOn(runtime);
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const adapters = await fittedAdapters(loaded, { runtime, model, weights, alone: false });
    const { plan, values } = await combineAdapters(products, model, adapters, {
      type: params.type,
      weights: params.adapters.map(({ weight }) => weight),
      ...(params.rank === null ? {} : { rank: params.rank }),
      density: params.density,
      majoritySign: params.majoritySign,
      seed: params.seed,
      scaledTwice: params.scaledTwice,
    });
    try {
      await mkdir(dirname(out), { recursive: true });
    } catch (cause) {
      throw diskError(cause, dirname(out), 'make the folder');
    }
    await writeAdapterFolder(out, {
      ...adapterFiles(plan, values, checkpoint.folder),
      ...(config === checkpoint.config ? {} : { sideFiles: { [baseConfigName]: baseConfigFile(config) } }),
      card: {
        baseModel: checkpoint.folder,
        settings: [
          ['Combined by', params.type],
          ...params.adapters.map(({ folder, weight }) => [folder, weight] as const),
        ],
      },
    });
    return {
      out,
      modules: plan.sites.size,
      rank: Math.max(...[...plan.sites.values()].map(({ r }) => r)),
      exact: params.type === 'cat' || adapters.length === 1,
      warnings: adapters.flatMap(({ warnings }) => warnings),
    };
  } finally {
    products.release();
    await runtime.close();
  }
}
