// Compiles the forward pass for generation: new tokens of a batch in, the logits of each row's next token out, keys and
// values kept in buffers that are bound as input and output at once. One graph per number of rows, length and capacity.
import type { AdapterPlan } from '../adapters/plan';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import type { Precision } from '../graph/precision';
import type { Model } from '../models/architecture';
import { CachedAttention, type CachePort } from '../models/cachedAttention';
import type { Rotary } from '../models/rotary';
import { ForwardPass, type PackedWeights } from './forward';

export interface GenerationGraphOptions {
  model: Model;
  rows: number;
  /** Positions per row in one call: a prompt's, padded on the right, or 1 to continue. */
  length: number;
  /** Positions that the cache holds; at least `length`. */
  capacity: number;
  /** Default: fp32. */
  precision?: Precision;
  /** Base weights in four bits. Default: none. */
  packed?: PackedWeights;
  /** Adapter slots, or a method in its own form; `trained` adds its tensors to the graph's inputs. */
  adapters?: { plan: AdapterPlan; trained: (b: GraphBuilder, rows: number) => ReadonlyMap<string, Value> };
}

export interface GenerationGraph {
  graph: Graph;
  /** Names of the checkpoint tensors that it takes. */
  baseInputs: readonly string[];
  cache: readonly CachePort[];
  /** Where set, `rotary_cos` and `rotary_sin` [B·S, width] are fed, a row per position. */
  fedRotary?: { rotary: Rotary; width: number };
}

/**
 * Inputs: ids, positions int64 [B, S]; last int32 [B], the index of each row's last real position; for S > 1 also
 * last_row int64 [B], that position's row b·S + last[b] in [B·S]; the cache. Outputs: logits [B, V] there; the cache.
 */
export function generationGraph(o: GenerationGraphOptions): GenerationGraph {
  const { model, rows, length, capacity } = o;
  const b = new GraphBuilder(`generation ${rows}x${length} in ${capacity}`);
  const ids = b.input('ids', 'int64', [rows, length]);
  const positions = b.input('positions', 'int64', [rows, length]);
  const last = b.input('last', 'int32', [rows]);
  const attention = new CachedAttention(b, { rows, length, capacity, last });
  const adapters = o.adapters && {
    plan: o.adapters.plan,
    trained: o.adapters.trained(b, rows),
    training: false,
  };
  const f = new ForwardPass(
    b,
    model,
    rows,
    length,
    positions,
    (forward, call) => attention.apply(forward, call),
    adapters,
    o.packed,
  );
  const hidden = model.forward(f, b.reshape(ids, [rows * length]));
  const ends =
    length === 1 ? hidden : b.op('Gather', [hidden, b.input('last_row', 'int64', [rows])], { axis: 0 });
  const logits = f.linear(model.head.path, ends);
  // Whole parameters that adapters put in the base's place lie as the base does.
  const stored = [...f.storedInputs, ...(o.adapters?.plan.replaced.values() ?? [])];
  const built = b.finish([{ name: 'logits', value: logits }, ...attention.outputs]);
  const graph = finish(built, o.precision, stored);
  return { graph, baseInputs: f.baseInputs, cache: attention.ports, fedRotary: attention.fedRotary };
}
