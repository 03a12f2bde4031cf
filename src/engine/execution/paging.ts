// Where the state of a paged optimizer lies, and the pieces in which slabs are updated: because their state moves through a
// window on the device, or so that what is computed on the way stays small. Knows no runtime.
import type { AdapterPlan } from '../adapters/plan';
import type { Slab, SlabEntry } from '../compile/slabs';
import { transformConstants } from '../compile/updateGraph';
import { byteSize } from '../dtype';
import { blockSize } from '../optim/blockwise';
import type { Optimizer, OptimizerSettings } from '../optim/optimizer';
import { optimizerOf, stateBytes } from '../optim/registry';
import type { DeviceKind } from '../session';

/** Of slabs that are paged: on the device like all others, in host memory, or in a mapped file of a folder. */
export type Paging = { place: 'device' | 'host' } | { place: 'file'; folder: string };

/** State of fewer parameters stays on the device, as in bitsandbytes. */
const pagedFrom = 1e5;
/** Parameters that are updated at once. */
const windowLength = 1 << 24;
/** Parameters that a divisible update takes at once on the CPU, so that what it computes stays in the processor's cache. */
const cachedLength = 1 << 18;
/** Layouts of pieces that are worth a program each. */
const mostLayouts = 4;

export function isPaged(slab: Slab, optimizer: Optimizer): boolean {
  return optimizer.paged === true && !slab.frozen && slab.length >= pagedFrom;
}

/** @param folder for files; without one, nothing is spilled. */
export function pagingFor(settings: OptimizerSettings, device: DeviceKind, folder?: string): Paging {
  if (!optimizerOf(settings.optim).paged) return { place: 'device' };
  if (device !== 'cpu') return { place: 'host' };
  const spills = settings.settings.spill_optimizer_state === true && folder !== undefined;
  return spills ? { place: 'file', folder } : { place: 'device' };
}

/** A stretch of a slab that is updated by itself; `slab.offset` counts in parameters. */
export interface Piece {
  offset: number;
  /** The stretch as a slab named `piece`. */
  slab: Slab;
}

/** Cuts between tensors or at whole blocks of them, so that each piece's state is a stretch of the slab's. */
export function piecesOf(slab: Slab, length: number = windowLength): Piece[] {
  const pieces: Piece[] = [];
  let entries: SlabEntry[] = [];
  let offset = 0;
  let filled = 0;
  const close = (): void => {
    if (filled === 0) return;
    pieces.push({ offset, slab: { ...slab, name: 'piece', length: filled, entries } });
    offset += filled;
    filled = 0;
    entries = [];
  };
  for (const { tensor, count } of slab.entries) {
    let left = count;
    while (left > 0) {
      const room = Math.floor((length - filled) / blockSize) * blockSize;
      if (room === 0) {
        close();
        continue;
      }
      const taken = Math.min(left, room);
      entries.push({ tensor, offset: filled, count: taken });
      filled += taken;
      left -= taken;
      if (left > 0) close();
    }
  }
  close();
  return pieces;
}

export interface StateMemory {
  /** Bytes of optimizer state on the device, the window included. */
  device: number;
  /** Bytes in host memory beside the device's, or in a file. */
  elsewhere: number;
}

/** What a run's optimizer state takes, by where it lies. */
export function stateMemory(
  slabs: readonly Slab[],
  settings: OptimizerSettings,
  paging: Paging,
  length: number = windowLength,
): StateMemory {
  const optimizer = optimizerOf(settings.optim);
  let [device, elsewhere, window] = [0, 0, 0];
  for (const slab of slabs) {
    const bytes = stateBytes(slab, settings);
    if (paging.place === 'device' || !isPaged(slab, optimizer)) device += bytes;
    else {
      elsewhere += bytes;
      if (paging.place === 'host')
        for (const piece of piecesOf(slab, length))
          window = Math.max(window, stateBytes(piece.slab, settings));
    }
  }
  return { device: device + window, elsewhere };
}

/**
 * The pieces in which a slab is updated although its state lies on the device; undefined where it goes in one.
 * @param length parameters of a piece, at most; the device's own without it.
 */
export function divisionOf(
  slab: Slab,
  optimizer: Optimizer,
  plan: AdapterPlan | undefined,
  device: DeviceKind,
  length: number = device === 'cpu' ? cachedLength : windowLength,
): Piece[] | undefined {
  if (!optimizer.divisible || slab.frozen || slab.length <= length) return undefined;
  // WebGPU's memory has no addresses, and a gradient transform sees whole tensors.
  if (device === 'webgpu' || transformConstants(plan).length > 0) return undefined;
  const pieces = piecesOf(slab, length).map((piece) => ({ ...piece, slab: seamless(piece.slab) }));
  const layouts = new Set(pieces.map(({ slab: { entries } }) => entries.map(({ count }) => count).join()));
  return layouts.size <= mostLayouts ? pieces : undefined;
}

/** Tensors that fill whole blocks as one with what follows: no block tells them apart, so that most pieces are alike. */
function seamless(slab: Slab): Slab {
  const entries: SlabEntry[] = [];
  for (const entry of slab.entries) {
    const last = entries.at(-1);
    if (last && last.count % blockSize === 0)
      entries[entries.length - 1] = { ...last, count: last.count + entry.count };
    else entries.push(entry);
  }
  return { ...slab, entries };
}

/** Where a piece's state begins in each slot of its slab, in elements. */
export function slotOffsets(pieces: readonly Piece[], optimizer: Optimizer, settings: OptimizerSettings) {
  const at = new Map<string, number>();
  return pieces.map(({ slab }) => {
    const offsets = new Map(at);
    for (const { name, shape } of optimizer.slots(slab, settings)) {
      offsets.set(name, at.get(name) ?? 0);
      at.set(name, (at.get(name) ?? 0) + byteSize('uint8', shape));
    }
    return offsets;
  });
}
