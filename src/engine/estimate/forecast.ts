// What a recipe's run will hold in memory, by part, before anything is loaded: its programs are compiled for the largest
// batch and walked, so that the forecast changes with whatever changes the programs. Reads no weights.
import type { Recipe } from '../../protocol/recipe';
import { withLoraPlusRates } from '../adapters/loraPlus';
import { type AdapterPlan, planAdapter } from '../adapters/plan';
import type { PackedTensor } from '../checkpoint/packed';
import { evaluationGraph } from '../compile/evaluationGraph';
import { dropoutPoolFor, gradientGraph } from '../compile/gradientGraph';
import { joiningOf } from '../compile/projections';
import type { Slab } from '../compile/slabs';
import { pieceGraph, updateGraph } from '../compile/updateGraph';
import { byteSize } from '../dtype';
import { packedInRun } from '../execution/baseQuantization';
import { chooseDevice } from '../execution/deviceName';
import { joinRule } from '../execution/joining';
import { divisionOf, isPaged, type Piece, pagingFor, piecesOf, stateMemory } from '../execution/paging';
import type { Graph, Value } from '../graph/graph';
import { bfloat16Capability, type Precision, precisionFor } from '../graph/precision';
import type { Model } from '../models/architecture';
import { attentionOf } from '../models/attentions';
import { optimizerOf, slabsFor } from '../optim/registry';
import { type Liveness, liveness } from './liveness';
import { startBytes } from './startMemory';
import { acrossRows } from './wideBatches';

/** Node, the runtime's library, tokenizer and programs (measured on Linux x64 with a tiny model). */
const processBytes = 160 * 2 ** 20;

export interface Forecast {
  /** Exact. */
  trainableParameters: number;
  /** Bytes; their sum is `totalBytes`. */
  parts: {
    /** In the compute type: the files themselves, mapped, where that is theirs; else copies. Weights that train count as `adapter`. */
    weights: number;
    adapter: number;
    gradients: number;
    optimizer: number;
    activations: number;
    /** Copies on the host of what a checkpoint holds, while it is written. */
    saving: number;
    /** The process itself, batches, masks, bits for dropout, what the arena holds beyond its peak, and what a start needs beyond all this. */
    workspace: number;
  };
  totalBytes: number;
  /** What of the parts lies in system memory beside the device's: nothing where the device is the CPU. */
  host: Partial<Record<keyof Forecast['parts'], number>>;
  /** `totalBytes` by where it lies, for each place has a capacity of its own. */
  deviceBytes: number;
  hostBytes: number;
  /** The arena while each program runs: gradients, update, evaluation where there is one. */
  arenas: readonly Omit<Liveness, 'peakNode'>[];
}

/**
 * Exact up to batches of 262,144 tokens; larger ones are reckoned from two smaller (wideBatches.ts).
 * @param stored weights that the checkpoint has in four bits.
 * @throws AdapterError where the recipe's targets do not fit the model.
 */
export function forecast(
  model: Model,
  recipe: Recipe,
  plan: AdapterPlan = withLoraPlusRates(planAdapter(model, recipe), recipe),
  precision: Precision = precisionOf(recipe),
  stored: ReadonlyMap<string, PackedTensor> = new Map(),
): Forecast {
  const length = Math.min(recipe.max_length, model.maxPositions);
  return acrossRows(recipe.per_device_train_batch_size, length, (rows) =>
    forecastOf(model, { ...recipe, per_device_train_batch_size: rows }, plan, precision, stored),
  );
}

function forecastOf(
  model: Model,
  recipe: Recipe,
  plan: AdapterPlan,
  precision: Precision,
  stored: ReadonlyMap<string, PackedTensor>,
): Forecast {
  const packed = packedInRun(recipe, model, plan, stored);
  const slabs = slabsFor(plan.tensors, recipe);
  const { trainableParameters, saving, ...adapter } = adapterParts(slabs, recipe);
  const rows = recipe.per_device_train_batch_size;
  const length = Math.min(recipe.max_length, model.maxPositions);
  const dropoutPool = dropoutPoolFor(plan, rows * length);
  const optimizer = optimizerOf(recipe.optim);
  const device = chooseDevice(recipe.device).kind;
  const paging = pagingFor(recipe, device, recipe.output_dir);
  const pieces = new Map<Slab, readonly Piece[]>();
  for (const slab of slabs) {
    const paged = paging.place === 'host' && isPaged(slab, optimizer);
    const own = paged ? piecesOf(slab) : divisionOf(slab, optimizer, plan, device);
    if (own) pieces.set(slab, own);
  }
  const joining = joiningOf(model, packed, joinRule(precision.device));
  const gradient = gradientGraph({
    model,
    plan,
    slabs,
    rows,
    length,
    packing: recipe.packing,
    accumulate: recipe.gradient_accumulation_steps > 1,
    checkpointing: recipe.gradient_checkpointing,
    dropoutPool,
    precision,
    packed,
    joining,
    attention: attentionOf(recipe, model),
  });
  const update = updateGraph(slabs, optimizer, recipe, device, plan, (slab) => pieces.has(slab));
  const graphs: Graph[] = [gradient.graph, update];
  if (recipe.eval_dataset.length > 0 || recipe.val_size > 0) {
    const options = { model, plan, slabs, rows: recipe.per_device_eval_batch_size, length, precision };
    graphs.push(
      evaluationGraph({ ...options, packed, joining, packing: recipe.packing, result: 'loss' }).graph,
    );
  }
  // Last, since models of few layers may have none (deepModels.ts).
  const [largest] = [...pieces.values()].flat().sort((a, b) => b.slab.length - a.slab.length);
  if (largest) graphs.push(pieceGraph(largest.slab, optimizer, recipe, device, plan));
  const lives = graphs.map((graph) => liveness(graph));
  const activations = Math.max(...lives.map((life) => life.peakBytes));
  const reserved = Math.max(...lives.map((life) => life.reservedBytes));

  const base = new Set(gradient.baseInputs);
  const bound = new Set([...gradient.baseInputs, ...slabs.flatMap(({ name }) => [name, `${name}.gradient`])]);
  const fed = gradient.graph.inputs.filter((input) => !bound.has(input.name));
  const parts = {
    weights: sizeOf(gradient.graph.inputs.filter(({ name }) => base.has(name))),
    ...adapter,
    activations,
    saving,
    workspace: processBytes + sizeOf(fed) + sizeOf(constantsOf(gradient.graph)) + (reserved - activations),
  };
  // The start is over before the adapter's state is made; what it needs beyond that is workspace. It works in system memory.
  const later =
    parts.saving + (device === 'cpu' ? parts.adapter + parts.gradients + parts.optimizer + reserved : 0);
  const start = Math.max(0, startBytes({ plan, tokens: rows * length }) - later);
  parts.workspace += start;
  const host = besideDevice(recipe, slabs, parts.saving, processBytes + start);
  const arenas = lives.map(({ peakNode: _, ...arena }) => arena);
  return { trainableParameters, parts, host, ...totals(parts, host), arenas };
}

/** What of a run's parts lies in system memory beside the device's. @param workspace of it, on the host. */
export function besideDevice(
  recipe: Recipe,
  slabs: readonly Slab[],
  saving: number,
  workspace: number,
): Forecast['host'] {
  const { kind } = chooseDevice(recipe.device);
  return kind === 'cpu' ? {} : { saving, workspace, optimizer: hostState(slabs, recipe) };
}

/** The forecast with what CUDA itself takes, as workspace on the device. Null adds nothing. */
export function withContext(forecast: Forecast, context: { bytes: number } | null): Forecast {
  if (context === null) return forecast;
  const parts = { ...forecast.parts, workspace: forecast.parts.workspace + context.bytes };
  return { ...forecast, parts, ...totals(parts, forecast.host) };
}

/** Sums of a forecast, by place. */
export function totals(
  parts: Forecast['parts'],
  host: Forecast['host'],
): Pick<Forecast, 'totalBytes' | 'deviceBytes' | 'hostBytes'> {
  const sum = (all: Record<string, number>): number =>
    Object.values(all).reduce((total, bytes) => total + bytes, 0);
  const [totalBytes, hostBytes] = [sum(parts), sum(host)];
  return { totalBytes, hostBytes, deviceBytes: totalBytes - hostBytes };
}

/** Optimizer state that pages in from system memory. */
function hostState(slabs: readonly Slab[], recipe: Recipe): number {
  const paging = pagingFor(recipe, chooseDevice(recipe.device).kind, recipe.output_dir);
  return paging.place === 'host' ? stateMemory(slabs, recipe, paging).elsewhere : 0;
}

/** What needs no program to be known. */
export function adapterParts(
  slabs: readonly Slab[],
  recipe: Recipe,
): Pick<Forecast['parts'], 'adapter' | 'gradients' | 'optimizer' | 'saving'> & {
  trainableParameters: number;
} {
  const all = slabs.reduce((sum, { length }) => sum + length, 0);
  const trainableParameters = slabs.reduce((sum, { length, frozen }) => sum + (frozen ? 0 : length), 0);
  const paging = pagingFor(recipe, chooseDevice(recipe.device).kind, recipe.output_dir);
  const state = stateMemory(slabs, recipe, paging);
  return {
    trainableParameters,
    adapter: 4 * all,
    gradients: 4 * trainableParameters,
    optimizer: state.device + hostState(slabs, recipe),
    // Read whole, one vector at a time beside the tensors cut from it.
    saving: 8 * trainableParameters + state.device + state.elsewhere,
  };
}

/** What the recipe's run computes in; a CUDA device is taken to have bfloat16. */
function precisionOf({ dtype, device }: Recipe): Precision {
  const kind = device.startsWith('cuda') ? 'cuda' : device === 'webgpu' ? 'webgpu' : 'cpu';
  return precisionFor(dtype, kind, bfloat16Capability);
}

function constantsOf(graph: Graph): Set<Value> {
  const constants = new Set<Value>();
  for (const node of graph.nodes) for (const input of node.inputs) if (input?.data) constants.add(input);
  return constants;
}

function sizeOf(values: Iterable<Value>): number {
  let bytes = 0;
  for (const value of values) bytes += byteSize(value.dtype, value.shape);
  return bytes;
}
