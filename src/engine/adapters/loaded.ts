// From a PEFT folder and a model to a plan with the values of its tensors: what evaluating, merging and generating start
// from. Everything is compared with the model here; it knows no runtime.

import { join } from 'node:path';
import type { Problem } from '../../protocol/errors';
import { findNonFinite } from '../checkpoint/finite';
import { shorten } from '../checkpoint/safetensors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { AdapterError, raiseProblems } from '../errors';
import { namesIn } from '../files/folder';
import { readJsonObject } from '../files/json';
import { type Model, modelTensors } from '../models/architecture';
import { Random } from '../random';
import { locateAdapter } from './adapterLocation';
import { nativeStateName, nativeWeightsName } from './adapterNames';
import { earlierOfState } from './earlierState';
import { settingsOfState } from './nativeState';
import {
  type AdapterFolder,
  type AdapterTensor,
  type ReadAdapterOptions,
  readAdapterFolder,
  readTensors,
} from './peftFile';
import { fileName, tensorName } from './peftNames';
import { type AdapterPlan, planAdapter } from './plan';
import { expand, keptShape } from './ranksInFile';
import { type AdapterSettings, settingsOfPeft } from './settings';
import type { EarlierTask, PlannedTensor } from './variant';

/** An adapter that fits a model. */
export interface LoadedAdapter {
  plan: AdapterPlan;
  /** By the names in `plan.tensors`, in the file's layout, fp32. */
  values: ReadonlyMap<string, Float32Array>;
  /** Where it was found, absolute. */
  folder: string;
  /** Full sentences. */
  warnings: readonly string[];
}

/**
 * Reads the adapter at `path` for `model`. Throws one AdapterError with everything in its files that does not fit the
 * model: targets, missing, surplus and misshapen tensors, values that are not finite.
 */
export async function loadAdapter(
  path: string,
  model: Model,
  options: Pick<ReadAdapterOptions, 'acceptsBaseChange'> = {},
): Promise<LoadedAdapter> {
  const { plan, file, warnings } = await planOf(path, model, options);
  const { found, problems } = assign(plan, file, model);
  const values = new Map<string, Float32Array>();
  const seedless = new Random(0, 'unstored');
  for (const tensor of plan.tensors) {
    const entry = found.get(tensor.name);
    if (!entry) {
      if (tensor.unstored) values.set(tensor.name, await tensor.initial(seedless, noBase));
      continue;
    }
    const data = await entry.read();
    const bad = findNonFinite(data);
    if (bad) {
      problems.push({
        where: shownName(entry.name),
        message: `holds ${bad.nan} NaN and ${bad.infinite} infinite values, the first at element ${bad.firstIndex}`,
      });
    }
    values.set(tensor.name, expand(data, tensor, file.kept(tensor)));
  }
  raiseProblems(
    AdapterError,
    'adapter-does-not-fit',
    `The adapter ${file.folder} does not fit the model (${model.modelType}, ${model.layers} layers of width ${model.hiddenSize}):`,
    shorten(problems, 200),
    'Use the base model that the adapter was trained on (base_model_name_or_path in its adapter_config.json), or save the adapter again.',
  );
  const unmatched = plan.unmatched.map(
    ({ setting, entry }) =>
      `${file.folder}: ${setting} has ${JSON.stringify(entry)}, which names no module of the model and has no effect.`,
  );
  return { plan, values, folder: file.folder, warnings: [...warnings, ...unmatched] };
}

/** What an adapter's tensors are read from. */
interface TensorSource extends Pick<AdapterFolder, 'folder' | 'tensors'> {
  /** The ranks of a tensor that the file holds; undefined for all. */
  kept(tensor: PlannedTensor): readonly boolean[] | undefined;
}

/** The plan that the folder's settings make for the model: our own where it has them, else PEFT's. */
async function planOf(
  path: string,
  model: Model,
  options: Pick<ReadAdapterOptions, 'acceptsBaseChange'>,
): Promise<{ plan: AdapterPlan; file: TensorSource; warnings: readonly string[] }> {
  const folder = await locateAdapter(path);
  if ((await namesIn(folder, AdapterError, 'adapter-folder')).includes(nativeStateName)) {
    const { settings, earlier, tensors } = await readNativeFiles(folder);
    return {
      plan: planAdapter(model, settings, earlier),
      file: { folder, tensors, kept: () => undefined },
      warnings: [],
    };
  }
  const file = await readAdapterFolder(folder, options);
  const planned = planAdapter(model, settingsOfPeft(file.config, model.defaultTargets));
  const { plan, warnings } = withoutLostBiases(planned, file);
  const kept = ({ site }: PlannedTensor) =>
    site === undefined ? undefined : plan.variant.peft?.kept?.(file.config, plan.sites.get(site)!);
  return { plan, file: { ...file, kept }, warnings: [...file.warnings, ...warnings] };
}

/** Settings and tensors of a method that PEFT does not have. */
async function readNativeFiles(folder: string): Promise<{
  settings: AdapterSettings;
  earlier: EarlierTask[];
  tensors: Map<string, AdapterTensor>;
}> {
  const path = join(folder, nativeStateName);
  const remedy = 'Save the adapter again, or take the folder from where it came from.';
  const json = await readJsonObject(path, { ErrorClass: AdapterError, prefix: 'adapter-state', remedy });
  const settings = settingsOfState(json, path);
  const earlier = earlierOfState(json, path);
  return { settings, earlier, tensors: await readTensors(join(folder, nativeWeightsName)) };
}

function noBase(tensor: string): never {
  throw new Error(`${tensor} of the base is not there to make an unstored tensor again.`);
}

/** PEFT up to 0.20 trained the biases of `bias: lora_only` and left them out of the file: then the base's apply. */
function withoutLostBiases(
  plan: AdapterPlan,
  file: AdapterFolder,
): { plan: AdapterPlan; warnings: string[] } {
  const biases = new Set(
    [...plan.replaced].filter(([parameter]) => parameter.endsWith('.bias')).map(([, name]) => name),
  );
  const held = (name: string): boolean => namesOf(name).some((n) => file.tensors.has(n));
  if (plan.settings.bias !== 'lora_only' || biases.size === 0 || [...biases].some(held))
    return { plan, warnings: [] };
  return {
    plan: {
      ...plan,
      tensors: plan.tensors.filter(({ name }) => !biases.has(name)),
      replaced: new Map([...plan.replaced].filter(([, name]) => !biases.has(name))),
    },
    warnings: [
      `${file.folder} says bias: lora_only, but holds no biases (PEFT did not save them up to version 0.20); the base model's are used.`,
    ],
  };
}

/** Names under which a file may hold a trained tensor: PEFT once wrote no `base_layer` for a wrapped module's bias. */
function namesOf(name: string): string[] {
  const full = fileName(name);
  return name.endsWith('.base_layer.bias') ? [full, full.replace(/\.base_layer\.bias$/, '.bias')] : [full];
}

/** The file's tensor for every planned one, and what is missing, misshapen or surplus. */
function assign(
  plan: AdapterPlan,
  file: TensorSource,
  model: Model,
): { found: Map<string, AdapterTensor>; problems: Problem[] } {
  const found = new Map<string, AdapterTensor>();
  const problems: Problem[] = [];
  const used = new Set<string>();
  for (const planned of plan.tensors) {
    const { name } = planned;
    const key = namesOf(name).find((n) => file.tensors.has(n));
    const shape = keptShape(planned, file.kept(planned));
    if (key === undefined) {
      if (!planned.unstored)
        problems.push({
          where: shownName(namesOf(name)[0]!),
          message: `is missing; expected ${show(shape)}`,
        });
      continue;
    }
    const tensor = file.tensors.get(key)!;
    used.add(key);
    if (show(tensor.shape) === show(shape)) found.set(name, tensor);
    else
      problems.push({
        where: shownName(tensor.name),
        message: `has shape ${show(tensor.shape)}; the model needs ${show(shape)}`,
      });
  }
  const shapes = new Map(modelTensors(model).map((tensor) => [tensor.name, tensor.shape]));
  for (const tensor of file.tensors.values()) {
    if (used.has(tensor.name)) continue;
    const frozen = frozenShape(tensor.name, plan, shapes);
    if (!frozen) {
      problems.push({
        where: shownName(tensor.name),
        message: 'belongs to no module that adapter_config.json selects in this model',
      });
    } else if (show(tensor.shape) !== show(frozen)) {
      problems.push({
        where: shownName(tensor.name),
        message: `has shape ${show(tensor.shape)}; the model needs ${show(frozen)}`,
      });
    }
  }
  return { found, problems };
}

/** Shape of the frozen weight that PEFT stores beside a targeted embedding or head; undefined for any other tensor. */
function frozenShape(
  name: string,
  plan: AdapterPlan,
  shapes: ReadonlyMap<string, readonly number[]>,
): readonly number[] | undefined {
  for (const site of plan.sites.values()) {
    if (name === tensorName(site.path, 'base_layer.weight')) return shapes.get(site.module.weight);
  }
  return undefined;
}

const show = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
