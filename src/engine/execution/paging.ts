// Where the state of a paged optimizer lies, and the pieces in which it moves through a window on the device. Knows no runtime.
import type { Slab, SlabEntry } from '../compile/slabs';
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
