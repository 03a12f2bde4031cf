// One safetensors file → what the adapter page shows of it: the header's facts at once, then every tensor's and module's
// numbers as they are read, at last ‖W‖ of the base. It only reads; it knows no editor.
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { modelForAdapters } from '../../engine/adapters/baseConfig';
import { readAdapterFolder } from '../../engine/adapters/peftFile';
import { openCheckpoint } from '../../engine/checkpoint/folder';
import { inspectSafetensors, readTensor, type TensorRef } from '../../engine/checkpoint/safetensors';
import { shownName } from '../../engine/checkpoint/safetensorsHeader';
import { resolveNames } from '../../engine/checkpoint/verify';
import { elements } from '../../engine/dtype';
import { AdapterError, UserError } from '../../engine/errors';
import { type JsonObject, readJsonObject } from '../../engine/files/json';
import { modelTensors } from '../../engine/models/architecture';
import type { Problem } from '../../protocol/errors';
import type { AdapterHead, AdapterNews, ModuleValues, TensorValues } from '../../protocol/panels/adapter';
import { type AdaptedModule, adaptedModules } from './adapterModules';
import { magnitudes, spectrumOfProduct } from './adapterSpectrum';

export interface AnalysisTask {
  /** Absolute. */
  file: string;
  /** The base's folder, where it was found and is wanted. */
  base: string | undefined;
}

/** What the page's head knows of the file alone; names, runs and the base's facts are added by the editor's side. */
export type FileHead = Omit<AdapterHead, 'title' | 'file' | 'canTry' | 'run'> & {
  config: JsonObject | undefined;
};

export type AnalysisNews =
  | { type: 'head'; head: FileHead }
  | { type: 'news'; news: AdapterNews }
  | { type: 'problem'; problem: Problem }
  | { type: 'done'; milliseconds: number };

/** Values of a file beyond this are not read: only its header is. */
const readBelow = 4 * 2 ** 30;
/** Base weights beyond this are not read for ‖W‖. */
const baseBelow = 8 * 2 ** 30;
const readable: readonly TensorRef['dtype'][] = ['F32', 'F16', 'BF16', 'F64'];
const batchMs = 120;

/** Looks at a file and tells what it finds. Never throws for what is wrong with the file. */
export async function analyse(task: AnalysisTask, tell: (news: AnalysisNews) => void): Promise<void> {
  const started = performance.now();
  const { head, refs, modules } = await headOf(task);
  tell({ type: 'head', head });
  const batch = new Batch((news) => tell({ type: 'news', news }));
  const total = refs.reduce((sum, ref) => sum + ref.bytes, 0);
  if (total <= readBelow) {
    await readValues(refs, modules, batch, (problem) => tell({ type: 'problem', problem }));
    batch.flush();
  } else
    tell({
      type: 'problem',
      problem: { where: task.file, message: 'Its values are not read: the file is larger than 4 GiB.' },
    });
  if (head.withBase && task.base !== undefined) {
    await baseNorms(task.base, dirname(task.file), modules, batch).catch((cause: unknown) =>
      tell({ type: 'problem', problem: { where: task.base!, message: reason(cause) } }),
    );
    batch.flush();
  }
  tell({ type: 'done', milliseconds: performance.now() - started });
}

async function headOf({ file, base }: AnalysisTask): Promise<{
  head: FileHead;
  refs: TensorRef[];
  modules: AdaptedModule[];
}> {
  const folder = dirname(file);
  const problems: Problem[] = [];
  const keep = (cause: unknown): undefined => {
    if (!(cause instanceof UserError)) throw cause;
    problems.push(
      ...(cause.problems.length > 0
        ? cause.problems
        : [{ where: file, message: cause.message, remedy: cause.remedy }]),
    );
  };
  const [bytes, inspection, config] = await Promise.all([
    stat(file).then(
      ({ size }) => size,
      () => 0,
    ),
    inspectSafetensors(file).catch(keep),
    configOf(folder),
  ]);
  const refs = [...(inspection?.file.tensors.values() ?? [])];
  problems.push(...(inspection?.problems ?? []));
  const modules = adaptedModules(refs, config);
  const isAdapter = file.endsWith('adapter_model.safetensors');
  // The reader says what does not fit between configuration and tensors; a broken file has said enough.
  if (isAdapter && problems.length === 0) {
    await readAdapterFolder(folder, { acceptsBaseChange: true }).catch(keep);
  }
  // Of a file that could not be read no tensor is known; another may hold none.
  const unread = refs.length === 0 && problems.length > 0;
  const parameters = refs.reduce((sum, ref) => sum + elements(ref.shape), 0);
  const dtypes = [...new Set(refs.map(({ dtype }) => dtype))].join(', ');
  const method = isAdapter || modules.length > 0 ? methodOf(config) : undefined;
  const notes: string[] = [];
  if (config?.use_dora === true)
    notes.push('DoRA: ΔW is the low-rank part alone, before each column takes its trained magnitude.');
  if (isAdapter && modules.length === 0 && refs.length > 0)
    notes.push('No pair of lora_A and lora_B is in this file, so there is no ΔW to show.');
  return {
    refs,
    modules,
    head: {
      folder,
      bytes,
      method,
      facts: [
        ...(method === undefined ? [] : [rankFact(config, modules)]),
        ...(unread
          ? []
          : [
              {
                label: 'Parameters',
                value: parameters.toLocaleString('en-US'),
                detail: counted(modules.length > 0 ? modules.length : refs.length, modules.length > 0),
              },
            ]),
        {
          label: 'File',
          value: '',
          detail: unread
            ? 'its tensors are unknown'
            : `${counted(refs.length, false)}${dtypes === '' ? '' : `, ${dtypes}`}`,
        },
        ...(method === undefined ? [] : [targetFact(config)]),
      ],
      problems,
      tensors: refs.map(({ name, dtype, shape, bytes: size }) => ({ name, dtype, shape, bytes: size })),
      modules: modules.map(({ path, outFeatures, inFeatures, rank }) => ({
        path,
        outFeatures,
        inFeatures,
        rank,
      })),
      notes,
      hasConfig: config !== undefined,
      withBase: base !== undefined && modules.length > 0,
      config,
    },
  };
}

function counted(count: number, modules: boolean): string {
  return `${count} ${modules ? 'module' : 'tensor'}${count === 1 ? '' : 's'}`;
}

async function configOf(folder: string): Promise<JsonObject | undefined> {
  return readJsonObject(join(folder, 'adapter_config.json'), {
    ErrorClass: AdapterError,
    prefix: 'adapter-config',
    remedy: '',
  }).catch(() => undefined);
}

function methodOf(config: JsonObject | undefined): string {
  if (config?.use_dora === true) return 'DoRA';
  const names: Record<string, string> = { LORA: 'LoRA', ADALORA: 'AdaLoRA', VERA: 'VeRA' };
  const type = String(config?.peft_type ?? 'LORA').slice(0, 20);
  return names[type] ?? type;
}

function rankFact(config: JsonObject | undefined, modules: readonly AdaptedModule[]) {
  const ranks = [...new Set(modules.map(({ rank }) => rank))].sort((a, b) => a - b);
  const scales = [...new Set(modules.map(({ scale }) => Number(scale.toPrecision(3))))].sort((a, b) => a - b);
  const range = (values: readonly number[]): string =>
    values.length <= 1 ? String(values[0] ?? '–') : `${values[0]}–${values.at(-1)}`;
  const alpha = typeof config?.lora_alpha === 'number' ? `, alpha ${config.lora_alpha}` : '';
  const rank = ranks.length > 0 ? range(ranks) : typeof config?.r === 'number' ? String(config.r) : '–';
  const rs = config?.use_rslora === true ? ', alpha / √r' : '';
  return {
    label: 'Rank',
    value: `r ${rank}${alpha}`,
    detail: modules.length > 0 ? `scale ${range(scales)}${rs}` : 'scale unknown',
  };
}

function targetFact(config: JsonObject | undefined) {
  const targets = config?.target_modules;
  const value = Array.isArray(targets)
    ? targets.join(', ')
    : typeof targets === 'string'
      ? targets
      : 'unknown';
  const saved = Array.isArray(config?.modules_to_save) ? config.modules_to_save.join(', ') : '';
  return {
    label: 'Targets',
    value: value.slice(0, 120),
    detail:
      saved === '' ? `bias ${String(config?.bias ?? 'none').slice(0, 20)}` : `whole: ${saved.slice(0, 80)}`,
  };
}

/** Every tensor once: a module's factors together, the others by themselves. */
async function readValues(
  refs: readonly TensorRef[],
  modules: readonly AdaptedModule[],
  batch: Batch,
  report: (problem: Problem) => void,
): Promise<void> {
  const indexOf = new Map(refs.map((ref, index) => [ref, index]));
  const fetch = (ref: TensorRef): Promise<Float32Array | undefined> => {
    const values = readable.includes(ref.dtype) ? readTensor(ref) : Promise.resolve(undefined);
    // Whoever takes it hears of the failure.
    values.catch(() => undefined);
    return values;
  };
  const look = (ref: TensorRef, values: Float32Array | undefined): Looked | undefined => {
    const index = indexOf.get(ref)!;
    if (values === undefined) {
      batch.tensor({ index, norm: null, mean: null, largest: null, notFinite: 0 });
      return undefined;
    }
    const { norm, mean, largest, notFinite } = magnitudes(values);
    batch.tensor(
      notFinite > 0
        ? { index, norm: null, mean: null, largest: null, notFinite }
        : { index, norm, mean, largest, notFinite },
    );
    if (notFinite === 0) return { values, norm };
    report({
      where: shownName(ref.name),
      message:
        notFinite === 1
          ? 'holds 1 value that is no finite number.'
          : `holds ${notFinite} values that are no finite numbers.`,
      remedy: 'Take an earlier checkpoint of the run, or the adapter from its source again.',
    });
    return undefined;
  };
  const paired = new Set(modules.flatMap(({ a, b, e }) => [a, b, ...(e === undefined ? [] : [e])]));
  const fetchAll = ({ a, b, e }: AdaptedModule) => [a, b, ...(e === undefined ? [] : [e])].map(fetch);
  // The disk reads one module ahead of the arithmetic.
  let ahead = modules[0] === undefined ? [] : fetchAll(modules[0]);
  for (const [index, module] of modules.entries()) {
    try {
      const own = ahead;
      const next = modules[index + 1];
      ahead = next === undefined ? [] : fetchAll(next);
      const a = look(module.a, await own[0]);
      const b = look(module.b, await own[1]);
      const e = module.e === undefined ? undefined : look(module.e, await own[2]);
      if (a === undefined || b === undefined || (module.e !== undefined && e === undefined)) {
        batch.module({ index, sigma: [], norm: null });
        continue;
      }
      if (e !== undefined) scaleRows(a.values, e.values, module.inFeatures);
      const { sigma, norm } = spectrumOfProduct(b.values, a.values, module.rank);
      const s = Math.abs(module.scale);
      // Orthogonal starts have BA = 0 with both factors there: what is left is rounding.
      const still = norm <= 1e-6 * (e === undefined ? a.norm : magnitudes(a.values).norm) * b.norm;
      batch.module({
        index,
        sigma: still ? sigma.map(() => 0) : sigma.map((v) => v * s),
        norm: still ? 0 : norm * s,
      });
    } catch (cause) {
      batch.module({ index, sigma: [], norm: null });
      report({ where: module.path, message: reason(cause) });
    }
  }
  for (const ref of refs) {
    if (paired.has(ref)) continue;
    await fetch(ref).then(
      (values) => look(ref, values),
      (cause: unknown) => report({ where: shownName(ref.name), message: reason(cause) }),
    );
  }
}

interface Looked {
  values: Float32Array;
  norm: number;
}

function scaleRows(a: Float32Array, e: Float32Array, columns: number): void {
  for (let i = 0; i < a.length; i++) a[i]! *= e[Math.floor(i / columns)] ?? 0;
}

/** ‖W‖ of every adapted module's base weight. */
async function baseNorms(
  folder: string,
  adapter: string,
  modules: readonly AdaptedModule[],
  batch: Batch,
): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const model = await modelForAdapters(checkpoint.config, [adapter]);
  const tensors = resolveNames(checkpoint.tensors, modelTensors(model), model.basePrefix);
  const wanted: { index: number; ref: TensorRef }[] = [];
  for (const [index, { path }] of modules.entries()) {
    const module = model.modules.find((candidate) => candidate.path === path);
    const ref = module && 'weight' in module ? tensors.get(module.weight) : undefined;
    if (ref !== undefined && readable.includes(ref.dtype)) wanted.push({ index, ref });
  }
  if (wanted.reduce((sum, { ref }) => sum + ref.bytes, 0) > baseBelow) {
    throw new Error('‖W‖ is not computed: the adapted weights of the base are larger than 8 GiB.');
  }
  for (const { index, ref } of wanted) batch.base(index, magnitudes(await readTensor(ref)).norm);
}

/** Gathers numbers, so that a file of thousands of tensors is not thousands of messages. */
class Batch {
  #tensors: TensorValues[] = [];
  #modules: ModuleValues[] = [];
  #base: [number, number][] = [];
  #since = performance.now();

  constructor(private readonly send: (news: AdapterNews) => void) {}

  tensor(values: TensorValues): void {
    this.#tensors.push(values);
    this.#maybe();
  }

  module(values: ModuleValues): void {
    this.#modules.push(values);
    this.#maybe();
  }

  base(module: number, norm: number): void {
    this.#base.push([module, norm]);
    this.#maybe();
  }

  flush(): void {
    if (this.#tensors.length + this.#modules.length + this.#base.length === 0) return;
    this.send({ tensors: this.#tensors, modules: this.#modules, base: this.#base });
    this.#tensors = [];
    this.#modules = [];
    this.#base = [];
    this.#since = performance.now();
  }

  #maybe(): void {
    if (performance.now() - this.#since > batchMs) this.flush();
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
