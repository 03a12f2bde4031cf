// base_config.json beside an adapter: the config.json of the base as it was trained on, where positions were stretched. Whoever
// loads the adapter builds the model from it. A stranger's file: only what concerns positions is taken, and checked as any
// config is.
import { join } from 'node:path';
import { AdapterError } from '../errors';
import { namesIn } from '../files/folder';
import { type JsonObject, readJsonObject } from '../files/json';
import type { Model } from '../models/architecture';
import { modelFromConfig } from '../models/registry';
import { positionKeys } from '../models/stretchedPositions';
import { locateAdapter } from './adapterLocation';
import { baseConfigName } from './adapterNames';

/** The file's content. */
export function baseConfigFile(config: JsonObject): string {
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** The base's config as the adapters at `paths` need it; the same object where they need no change. @throws AdapterError where they need different ones. */
export async function configForAdapters(config: JsonObject, paths: readonly string[]): Promise<JsonObject> {
  let found: { path: string; keys: JsonObject } | undefined;
  for (const [i, path] of paths.entries()) {
    const keys = (await positionsOf(path)) ?? positionKeys(config);
    if (i > 0 && JSON.stringify(found!.keys) !== JSON.stringify(keys)) {
      throw new AdapterError({
        code: 'adapters-conflict',
        message: `${found!.path} and ${path} were trained with different positions: ${JSON.stringify(found!.keys)} and ${JSON.stringify(keys)}.`,
        remedy: 'Use adapters together that were trained with the same rope_scaling and max_length.',
      });
    }
    found ??= { path, keys };
  }
  if (!found || JSON.stringify(found.keys) === JSON.stringify(positionKeys(config))) return config;
  const others = Object.fromEntries(
    Object.entries(config).filter(([key]) => !Object.hasOwn(positionKeys(config), key)),
  );
  return { ...others, ...found.keys };
}

/** The model that a base is with these adapters. */
export async function modelForAdapters(config: JsonObject, paths: readonly string[]): Promise<Model> {
  return modelFromConfig(await configForAdapters(config, paths));
}

/** What an adapter's base_config.json says of positions; undefined without one. */
async function positionsOf(path: string): Promise<JsonObject | undefined> {
  const folder = await locateAdapter(path);
  if (!(await namesIn(folder, AdapterError, 'adapter-folder')).includes(baseConfigName)) return undefined;
  return positionKeys(
    await readJsonObject(join(folder, baseConfigName), {
      ErrorClass: AdapterError,
      prefix: 'base-config',
      remedy: 'Take the folder again from where it came from.',
    }),
  );
}
