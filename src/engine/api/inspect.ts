// The call `inspect`: what lies at a path, and what is wrong with it.
import type { InspectParams, InspectResult } from '../../protocol/trainer';
import { inspectAdapter } from '../inspect/adapter';
import { inspectCheckpoint } from '../inspect/checkpoint';
import { inspectDataset } from '../inspect/dataset';
import { kindOf } from '../inspect/kind';
import { inspectRecipe } from '../inspect/recipe';
import { inspectRun } from '../inspect/run';

const inspectors: Record<InspectResult['kind'], (path: string) => InspectResult | Promise<InspectResult>> = {
  adapter: inspectAdapter,
  checkpoint: inspectCheckpoint,
  dataset: inspectDataset,
  recipe: inspectRecipe,
  run: inspectRun,
};

/** Raises UserError for what cannot be read at all; everything else that is wrong stands in `problems`. */
export async function inspect(params: InspectParams): Promise<InspectResult> {
  const { kind, path } = await kindOf(params.path);
  return inspectors[kind](path);
}
