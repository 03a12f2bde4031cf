// What every graph over a batch begins with: ids and positions in, hidden states out, attention in between. Knows neither
// losses nor what the graph is for.
import type { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { type Precision, singlePrecision } from '../graph/precision';
import type { Model } from '../models/architecture';
import type { AttentionBuilder } from '../models/attention';
import { fullAttention } from '../models/attentions';
import { type AdapterEnvironment, ForwardPass, type PackedWeights } from './forward';

export interface BatchGraphOptions {
  model: Model;
  /** Batch rows B and positions S; N = B·S. */
  rows: number;
  length: number;
  /** Whether rows hold several examples that must not see each other. */
  packing: boolean;
  /** Default: fp32. */
  precision?: Precision;
  /** Base weights in four bits. Default: none. */
  packed?: PackedWeights;
}

/** The inputs that carry a batch: `ids`, `positions`, with packing `segments`; int64 [B, S] each. */
export interface BatchInputs {
  ids: Value;
  positions: Value;
  segments?: Value;
  /** N. */
  tokens: number;
}

export function batchInputs(b: GraphBuilder, o: BatchGraphOptions): BatchInputs {
  const input = (name: string): Value => b.input(name, 'int64', [o.rows, o.length]);
  return {
    ids: input('ids'),
    positions: input('positions'),
    ...(o.packing ? { segments: input('segments') } : {}),
    tokens: o.rows * o.length,
  };
}

/** Runs the model up to its hidden states [N, hidden]. Default attention: every earlier token. */
export function batchForward(
  b: GraphBuilder,
  o: BatchGraphOptions,
  inputs: BatchInputs,
  adapters?: AdapterEnvironment,
  attentionBuilder: AttentionBuilder = fullAttention,
): { forward: ForwardPass; hidden: Value } {
  const { rows, length } = o;
  const { segments } = inputs;
  const { device, compute } = o.precision ?? singlePrecision;
  const fused = device === 'cuda' && compute !== 'float32';
  const attention = attentionBuilder(b, { rows, length, ...(segments ? { segments } : {}), device, fused });
  const forward = new ForwardPass(
    b,
    o.model,
    rows,
    length,
    inputs.positions,
    (pass, call) => attention.apply(pass, call),
    adapters,
    o.packed,
  );
  return { forward, hidden: o.model.forward(forward, b.reshape(inputs.ids, [inputs.tokens])) };
}

/** Those names that are inputs of the finished graph: passes may have replaced others. */
export function inputsOf(graph: Graph, names: readonly string[]): string[] {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  return names.filter((name) => inputs.has(name));
}
