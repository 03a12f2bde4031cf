// Module paths → a grid of layers by kinds of module, for the heat map. Text only.

export interface Cell {
  /** Index of the module. */
  module: number;
  row: string;
  /** Null for modules that belong to no layer (embeddings, the head). */
  layer: number | null;
}

export interface Grid {
  rows: readonly string[];
  layers: readonly number[];
  /** By `row\u0000layer`. */
  cells: ReadonlyMap<string, Cell>;
  /** Modules outside the layers. */
  others: readonly Cell[];
}

/** The order in which a layer computes; names that are not here come last, by name. */
const order = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'c_attn',
  'gate_proj',
  'up_proj',
  'down_proj',
  'c_fc',
  'c_proj',
];

const layered = /^(.*?)\.(\d+)\.(.+)$/;

export const cellKey = (row: string, layer: number): string => `${row}\u0000${layer}`;

/** `model.layers.3.self_attn.q_proj` → row `q_proj`, layer 3; the row's name grows where it would be ambiguous. */
export function gridOf(paths: readonly string[]): Grid {
  const parsed = paths.map((path, module) => {
    const match = layered.exec(path);
    return match === null
      ? { module, layer: null, tail: path }
      : { module, layer: Number(match[2]), tail: match[3]! };
  });
  const tails = new Set(parsed.filter(({ layer }) => layer !== null).map(({ tail }) => tail));
  const last = (tail: string): string => tail.slice(tail.lastIndexOf('.') + 1);
  const counts = new Map<string, number>();
  for (const tail of tails) counts.set(last(tail), (counts.get(last(tail)) ?? 0) + 1);
  const rowOf = (tail: string): string => (counts.get(last(tail)) === 1 ? last(tail) : tail);
  const cells = new Map<string, Cell>();
  const others: Cell[] = [];
  const rows = new Set<string>();
  const layers = new Set<number>();
  for (const { module, layer, tail } of parsed) {
    const row = layer === null ? tail : rowOf(tail);
    const cell = { module, row, layer };
    if (layer === null) {
      others.push(cell);
      continue;
    }
    // Two towers may have the same layers; the second one's modules stand apart.
    if (cells.has(cellKey(row, layer))) {
      others.push({ ...cell, row: paths[module]!, layer: null });
      continue;
    }
    rows.add(row);
    layers.add(layer);
    cells.set(cellKey(row, layer), cell);
  }
  const rank = (row: string): number => {
    const at = order.indexOf(last(row));
    return at < 0 ? order.length : at;
  };
  return {
    rows: [...rows].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)),
    layers: [...layers].sort((a, b) => a - b),
    cells,
    others,
  };
}

/** Four thresholds that part values into five steps: quintiles, rounded so that they can be printed. */
export function thresholds(values: readonly number[]): number[] {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return [];
  return [0.2, 0.4, 0.6, 0.8].map((q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!);
}

/** 0–4. */
export function stepOf(value: number, cuts: readonly number[]): number {
  return cuts.filter((cut) => value >= cut).length;
}
