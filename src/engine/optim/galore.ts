// GaLore (Zhao et al., arXiv 2403.03507): AdamW on gradients of few rows or columns. Every T steps the leading singular
// directions of the current gradient G [m, n] become the projection; R = PᵀG, or G·Qᵀ, or both; Adam's moments live on R and are
// neither reset nor turned at a refresh; W ← W − α·(P·N or N·Q), then W ← W·(1 − η·λ). Everything else by plain AdamW.
import type { Problem } from '../../protocol/errors';
import type { PlannedTensor } from '../adapters/variant';
import { deviceShape, type Slab } from '../compile/slabs';
import type { Value } from '../graph/graph';
import { matrix } from '../linalg/matrix';
import { adamMove, adamScalars, kept } from './adam';
import { adamw } from './adamw';
import { galoreFields, galoreProblems, galoreSettings, isProjected } from './galoreSettings';
import type { Optimizer, OptimizerSettings, Preparation, Slot, UpdateContext } from './optimizer';

/** Which sides of a matrix slab are projected, and what is left of it. */
export interface Projection {
  /** Sizes of the gradient. */
  m: number;
  n: number;
  rank: number;
  left: boolean;
  right: boolean;
  /** Elements of R. */
  count: number;
}

export function projectionOf(slab: Slab, settings: OptimizerSettings): Projection {
  const [m, n] = deviceShape(slab.entries[0]!.tensor) as [number, number];
  const { rank, projection } = galoreSettings(settings);
  const right =
    projection === 'full' ||
    projection === 'right' ||
    (projection === 'std' && m >= n) ||
    (projection === 'reverse_std' && m < n);
  const left = projection === 'full' || !right;
  return { m, n, rank, left, right, count: (left ? rank : m) * (right ? rank : n) };
}

/** P [m, r] and Q [r, n], as far as they are used. */
export function projectionSlots({ m, n, rank, left, right }: Projection): Slot[] {
  const slot = (name: string, rows: number, columns: number): Slot => ({
    name,
    dtype: 'float32',
    shape: [rows, columns],
    counts: [rows * columns],
    perElement: false,
  });
  return [...(left ? [slot('left', m, rank)] : []), ...(right ? [slot('right', rank, n)] : [])];
}

/** R, flat. */
export function project({ b, slots, gradient }: UpdateContext, p: Projection): Value {
  let x = b.reshape(gradient, [p.m, p.n]);
  if (p.left) x = b.gemm(slots.left!, x, { transA: true });
  if (p.right) x = b.gemm(x, slots.right!, { transB: true });
  return b.reshape(x, [p.count]);
}

/** The parameter after a move of R's shape, flat. */
export function moved(context: UpdateContext, p: Projection, move: Value): Value {
  const { b, slots, parameter, settings, slab } = context;
  let x = b.reshape(move, [p.left ? p.rank : p.m, p.right ? p.rank : p.n]);
  if (p.left) x = b.gemm(slots.left!, x);
  if (p.right) x = b.gemm(x, slots.right!);
  const back = b.scale(b.reshape(x, [slab.length]), galoreSettings(settings).scale);
  const next = b.sub(parameter, back);
  const factor = kept(context);
  return factor ? b.mul(next, factor) : next;
}

/** Takes new projections from the current gradients where they are due. */
export async function refresh(run: Preparation, kind: (slab: Slab) => boolean): Promise<readonly string[]> {
  const { updateInterval } = galoreSettings(run.settings);
  if ((run.step - 1) % updateInterval !== 0) return [];
  const slabs = run.slabs.filter((slab) => !slab.frozen && kind(slab));
  for (const slab of slabs) {
    const { m, n, rank, left, right } = projectionOf(slab, run.settings);
    const first = run.step === 1;
    if (left) {
      const start = first ? undefined : matrix(m, rank, run.read(slab, 'left'));
      const found = await run.leading(slab, 'left', rank, start);
      if (found) run.write(slab, 'left', found.data);
    }
    if (right) {
      const start = first ? undefined : matrix(rank, n, run.read(slab, 'right'));
      const found = await run.leading(slab, 'right', rank, start);
      if (found) run.write(slab, 'right', found.data);
    }
  }
  return [`GaLore took new projections of ${slabs.length} gradients at step ${run.step}.`];
}

/** Every projected tensor must have a rank to give. */
export function checkRanks(tensors: readonly PlannedTensor[], settings: OptimizerSettings): Problem[] {
  const { rank } = galoreSettings(settings);
  const projected = tensors.filter((tensor) => isProjected(tensor, settings));
  if (projected.length === 0) {
    return [
      {
        where: 'optim_target_modules',
        message: 'names no linear layer of this model',
        remedy: 'Set optim_target_modules: all-linear, or name linear layers, for example [q_proj, v_proj].',
      },
    ];
  }
  return projected
    .filter(({ shape }) => rank > Math.min(...shape))
    .map(({ name, shape }) => ({
      where: name,
      message: `is [${shape.join(', ')}]; galore_rank ${rank} exceeds its smaller side`,
      remedy: `Set galore_rank to at most ${Math.min(...projected.flatMap((tensor) => tensor.shape))}.`,
    }));
}

export const galoreSummary =
  'Trains every weight, with optimizer state for projected gradients only; a fraction of AdamW’s memory.';

export function checkGalore(recipe: Parameters<NonNullable<Optimizer['entry']['check']>>[0]): Problem[] {
  const problems = galoreProblems(recipe);
  if (recipe.adapter !== 'none')
    problems.push({
      where: 'optim',
      message: `optim: ${recipe.optim} trains full weights, and adapter: ${recipe.adapter} trains small ones.`,
      remedy: 'Set adapter: none, or optim: adamw.',
    });
  return problems;
}

export const galore: Optimizer = {
  id: 'galore_adamw',
  entry: {
    id: 'galore_adamw',
    label: 'GaLore: AdamW on projected gradients',
    summary: galoreSummary,
    fields: galoreFields,
    check: checkGalore,
  },
  layout: (tensor, settings) =>
    isProjected(tensor, settings) ? { kind: 'projected', alone: true } : { kind: '' },
  check: checkRanks,
  slots(slab, settings) {
    if (slab.kind !== 'projected') return adamw.slots(slab, settings);
    const p = projectionOf(slab, settings);
    const moment = (name: string): Slot => ({
      name,
      dtype: 'float32',
      shape: [p.count],
      counts: [p.count],
      perElement: false,
    });
    return [...projectionSlots(p), moment('m'), moment('v')];
  },
  scalars: adamScalars,
  prepare: (run) => refresh(run, ({ kind }) => kind === 'projected'),
  update(context) {
    const { slab, slots, settings } = context;
    if (slab.kind !== 'projected') return adamw.update(context);
    const p = projectionOf(slab, settings);
    const { m, v, move } = adamMove(context, { m: slots.m!, v: slots.v! }, project(context, p));
    return { parameter: moved(context, p, move), slots: { m, v } };
  },
};
