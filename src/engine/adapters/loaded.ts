// From a PEFT folder and a model to a plan with the values of its tensors: what evaluating, merging and generating start
// from. Everything is compared with the model here; it knows no runtime.

import type { Problem } from '../../protocol/errors';
import { findNonFinite } from '../checkpoint/finite';
import { shorten } from '../checkpoint/safetensors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { AdapterError, raiseProblems } from '../errors';
import { type Model, modelTensors } from '../models/architecture';
import { type AdapterFolder, type AdapterTensor, readAdapterFolder } from './peftFile';
import { tensorName } from './peftNames';
import { type AdapterPlan, planAdapter } from './plan';
import { settingsOfPeft } from './settings';

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
export async function loadAdapter(path: string, model: Model): Promise<LoadedAdapter> {
  const file = await readAdapterFolder(path);
  const settings = settingsOfPeft(file.config, model.defaultTargets);
  if (file.config.use_dora && settings.adapter === 'lora') {
    throw new AdapterError({
      code: 'adapter-feature-unsupported',
      message: `${file.folder} is a DoRA adapter (use_dora: true), which this version does not compute.`,
      remedy: 'Merge it into its base with PEFT, or use a LoRA adapter.',
    });
  }
  const { plan, warnings } = withoutLostBiases(planAdapter(model, settings), file);
  const { found, problems } = assign(plan, file, model);
  const values = new Map<string, Float32Array>();
  for (const [name, tensor] of found) {
    const data = await tensor.read();
    const bad = findNonFinite(data);
    if (bad) {
      problems.push({
        where: shownName(tensor.name),
        message: `holds ${bad.nan} NaN and ${bad.infinite} infinite values, the first at element ${bad.firstIndex}`,
      });
    }
    values.set(name, data);
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
  return { plan, values, folder: file.folder, warnings: [...file.warnings, ...warnings, ...unmatched] };
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
  const full = tensorName(name, '').slice(0, -1);
  return name.endsWith('.base_layer.bias') ? [full, full.replace(/\.base_layer\.bias$/, '.bias')] : [full];
}

/** The file's tensor for every planned one, and what is missing, misshapen or surplus. */
function assign(
  plan: AdapterPlan,
  file: AdapterFolder,
  model: Model,
): { found: Map<string, AdapterTensor>; problems: Problem[] } {
  const found = new Map<string, AdapterTensor>();
  const problems: Problem[] = [];
  const used = new Set<string>();
  const needed = new Set(plan.tensors.map(({ name }) => name));
  for (const { name, shape } of plan.tensors) {
    const key = namesOf(name).find((n) => file.tensors.has(n));
    const tensor = key === undefined ? undefined : file.tensors.get(key)!;
    if (!tensor) {
      if (needed.has(name)) {
        problems.push({
          where: shownName(namesOf(name)[0]!),
          message: `is missing; expected ${show(shape)}`,
        });
      }
      continue;
    }
    used.add(key!);
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
