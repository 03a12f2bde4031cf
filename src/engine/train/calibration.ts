// What initialisations learn from the training data before the first step: covariances and principal directions of module
// inputs. Comes in: the base model, batches. Goes out: numbers by module path. Knows no initialisation by name.
import type { AdapterSettings } from '../adapters/settings';
import type { Site } from '../adapters/variant';
import type { Batch } from '../data';
import type { ChangeableWeights } from '../execution/baseWeights';
import { Observer } from '../execution/observer';
import { IncrementalPca } from '../linalg/incrementalPca';
import { type Matrix, matrix } from '../linalg/matrix';
import { mirror, type Products } from '../linalg/products';
import type { Model } from '../models/architecture';
import type { Runtime } from '../session';
import { covarianceBytes, grouped, passBytes } from './calibrationPasses';

export interface CalibrationData {
  runtime: Runtime;
  model: Model;
  weights: ChangeableWeights;
  packing: boolean;
  /** Batches of training data, from the first on; ends where the data ends. */
  batches(): Iterable<Batch>;
  /** Throws where the run was cancelled. */
  onProgress(message: string): void;
}

/** Batches after which directions that still moved are taken as they are. */
const mostBatches = 512;

/**
 * Sites in groups whose covariances fit into memory together; modules with one input share a group and count once. What is
 * gathered does not depend on the groups.
 */
export function passes(
  data: CalibrationData,
  sites: readonly Site[],
  most = passBytes.covariances,
): Site[][] {
  const [batch] = data.batches();
  if (!batch) return [[...sites]];
  return grouped(new Observer(data).shared(batch, sites), covarianceBytes, most);
}

/** Mean over samples of X̂ᵀX̂ with X̂ = X/|max X|, [in, in], by module path; modules with one input share theirs. */
export async function covariances(
  data: CalibrationData,
  products: Products,
  sites: readonly Site[],
  samples: number,
): Promise<Map<string, Matrix>> {
  const observer = new Observer(data);
  const sums = new Map<string, { paths: readonly string[]; sum: Matrix }>();
  let seen = 0;
  try {
    for (const batch of data.batches()) {
      if (seen >= samples) break;
      data.onProgress(`Looking at example ${seen + 1} of at most ${samples}`);
      const rows = Math.min(batch.rows, samples - seen);
      for await (const { paths, x } of observer.inputs(batch, sites)) {
        const entry = sums.get(paths[0]!) ?? { paths, sum: matrix(x.columns, x.columns) };
        sums.set(paths[0]!, entry);
        const scaled = scaledSamples(x, batch, rows);
        if (scaled.rows > 0) await products.addGram(entry.sum, scaled);
      }
      seen += rows;
    }
  } finally {
    observer.release();
  }
  const out = new Map<string, Matrix>();
  for (const { paths, sum } of sums.values()) {
    for (let i = 0; i < sum.data.length; i++) sum.data[i]! /= seen;
    mirror(sum);
    for (const path of paths) out.set(path, sum);
  }
  return out;
}

/** The tokens of the first `samples` rows of a batch, each row divided by the size of its largest number. */
function scaledSamples(x: Matrix, batch: Batch, samples: number): Matrix {
  const end = samples * batch.length;
  const largest = new Float64Array(samples).fill(Number.NEGATIVE_INFINITY);
  const each = (of: (data: Float32Array, row: number) => void): void => {
    for (let position = 0; position < end; position++)
      if (batch.segments[position]! > 0)
        of(
          x.data.subarray(position * x.columns, (position + 1) * x.columns),
          Math.floor(position / batch.length),
        );
  };
  each((data, row) => {
    for (const value of data) if (value > largest[row]!) largest[row] = value;
  });
  const out = rowsOf(x, batch, (position, segment) => segment > 0 && position < end);
  let at = 0;
  each((data, row) => {
    const size = Math.abs(largest[row]!) || 1;
    for (let j = 0; j < data.length; j++) out.data[at + j]! /= size;
    at += data.length;
  });
  return out;
}

export interface Directions {
  /** [components, in], orthonormal rows. */
  directions: Matrix;
  singularValues: Float64Array;
  /** Share of the variance, by direction. */
  ratios: Float64Array;
}

export interface FoundDirections {
  byPath: Map<string, Directions>;
  /** Paths whose directions still moved at the end. */
  unsettled: string[];
}

/**
 * Principal directions of every module's input, by incremental PCA over batches, again and again over the data, until each
 * direction that `needed` asks for has a cosine similarity of at least tau with its value one batch before.
 * @param components by module path: how many directions are followed.
 * @param most bytes of inputs that one forward pass hands out.
 */
export async function principalDirections(
  data: CalibrationData,
  products: Products,
  sites: readonly Site[],
  components: (site: Site) => number,
  needed: (ratios: ReadonlyMap<string, Float64Array>) => ReadonlyMap<string, number>,
  settings: AdapterSettings['settings'],
  seed: number,
  most = passBytes.inputs,
): Promise<FoundDirections> {
  // One program at a time where one forward pass would hand out too much.
  const [first] = data.batches();
  const inputBytes = ({ inFeatures }: Site): number =>
    4 * (first?.rows ?? 1) * (first?.length ?? 1) * inFeatures;
  const shared = first ? new Observer(data).shared(first, sites) : [[...sites]];
  const groups = grouped(shared, inputBytes, most);
  const observer = new Observer(data, groups.length > 1 ? 1 : undefined);
  const tau = Number(settings.eva_tau ?? 0.99);
  const masked = settings.eva_use_label_mask !== false;
  const byPath = new Map(sites.map((site) => [site.path, site]));
  const analyses = new Map<string, { paths: readonly string[]; pca: IncrementalPca }>();
  let ranks: ReadonlyMap<string, number> = new Map();
  const settled = ({ paths, pca }: { paths: readonly string[]; pca: IncrementalPca }): boolean => {
    const rank = Math.max(...paths.map((path) => ranks.get(path) ?? pca.components));
    return (
      pca.similarity.length > 0 && pca.similarity.slice(0, rank).every((similarity) => similarity >= tau)
    );
  };
  let batches = 0;
  try {
    search: while (batches < mostBatches) {
      let any = false;
      for (const batch of data.batches()) {
        any = true;
        const done = [...analyses.values()].filter(settled).length;
        if (batches > 1 && done === analyses.size && analyses.size > 0) break search;
        if (batches >= mostBatches) break search;
        data.onProgress(
          `Looking at batch ${batches + 1}: ${done} of ${analyses.size || '?'} inputs are settled`,
        );
        const counted = countedTokens(batch, masked);
        for (const group of groups) {
          for await (const { paths, x } of observer.inputs(batch, group)) {
            const count = Math.max(...paths.map((path) => components(byPath.get(path)!)));
            const entry = analyses.get(paths[0]!) ?? {
              paths,
              pca: new IncrementalPca(products, count, seed),
            };
            analyses.set(paths[0]!, entry);
            if (!settled(entry) || batches < 2)
              await entry.pca.add(rowsOf(x, batch, (position) => counted[position]!));
          }
        }
        batches++;
        const found = [...analyses.values()];
        if (found.every(({ pca }) => pca.directions)) {
          ranks = needed(
            new Map(
              found.flatMap(({ paths, pca }) =>
                paths.map((path) => [path, pca.ratios.slice(0, components(byPath.get(path)!))] as const),
              ),
            ),
          );
        }
      }
      if (!any || [...analyses.values()].every(({ pca }) => !pca.directions)) break;
    }
  } finally {
    observer.release();
  }
  const out = new Map<string, Directions>();
  for (const { paths, pca } of analyses.values()) {
    if (!pca.directions) continue;
    const { directions, singularValues, ratios } = pca;
    for (const path of paths) out.set(path, { directions, singularValues, ratios });
  }
  const unsettled = [...analyses.values()].filter((entry) => !settled(entry)).flatMap(({ paths }) => paths);
  return { byPath: out, unsettled };
}

/** The rows of x whose position in the batch passes. */
function rowsOf(x: Matrix, batch: Batch, passes: (position: number, segment: number) => boolean): Matrix {
  const kept: number[] = [];
  batch.segments.forEach((segment, position) => {
    if (passes(position, segment)) kept.push(position);
  });
  const out = matrix(kept.length, x.columns);
  kept.forEach((position, i) => {
    out.data.set(x.data.subarray(position * x.columns, (position + 1) * x.columns), i * x.columns);
  });
  return out;
}

/** Tokens that count: not padding and, where asked, those that the loss counts. A target stands one place before its token. */
function countedTokens({ targets, segments, length }: Batch, masked: boolean): boolean[] {
  return Array.from(segments, (segment, i) => {
    if (segment === 0) return false;
    if (!masked) return true;
    const first = i % length === 0 || segments[i - 1] !== segment;
    return targets[first ? i : i - 1]! >= 0;
  });
}
