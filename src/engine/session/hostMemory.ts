// Memory of this process outside JavaScript's heap: zeroed pages, files mapped read-only, and copies between them and
// typed arrays. It deals in addresses and bytes and knows neither tensors nor the library that reads them.
import { closeSync, fstatSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { SessionError } from '../errors';
import type { Pointer } from './ortApi';

/** A stretch of address space. `free` ends it; nothing may use the address afterwards. */
export interface Block {
  readonly address: Pointer;
  readonly bytes: number;
  free(): void;
}

interface HostPlatform {
  /** Zeroed, page-aligned, readable and writable; null where the system refuses. */
  reserve(bytes: number): Block | null;
  /** The open file's bytes, read-only; null where the system refuses. `bytes` is positive. */
  map(path: string, fd: number, bytes: number): Block | null;
  /** The same, readable and writable; the file is gone when nobody uses it. */
  mapWritable(path: string, fd: number, bytes: number): Block | null;
  copy(to: Pointer | ArrayBufferView, from: Pointer | ArrayBufferView, bytes: number): void;
}

let platform: HostPlatform | undefined;

/** Zeroed memory, at page alignment. @throws SessionError `out-of-memory`. */
export function reserve(bytes: number): Block {
  const block = host().reserve(Math.max(bytes, 1));
  if (block) return { ...block, bytes };
  throw new SessionError({
    code: 'out-of-memory',
    message: `The system refused ${bytes} bytes of memory.`,
    remedy: 'Close other programs, or choose a smaller model, batch or length.',
  });
}

/** Maps a whole file read-only. @throws SessionError `file-unmappable`. */
export function mapFileBytes(path: string): Block {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error('it is not a file');
    if (stat.size === 0) return { ...reserve(0), bytes: 0 };
    const block = host().map(path, fd, stat.size);
    if (!block) throw new Error('the system refused to map it');
    return block;
  } catch (cause) {
    throw new SessionError({
      code: 'file-unmappable',
      message: `${path} cannot be mapped into memory: ${(cause as Error).message}.`,
      remedy: 'Check that the file is there and readable.',
      cause,
    });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

let spilled = 0;

/** Zeroed memory in a file of a folder, written in full so that the disk's end is met here and not in a crash later. */
export function reserveInFile(folder: string, bytes: number): Block {
  const path = join(folder, `.optimizer-state-${process.pid}-${spilled++}`);
  let fd: number | undefined;
  try {
    fd = openSync(path, 'wx+');
    const zeros = new Uint8Array(Math.min(Math.max(bytes, 1), 8 * 2 ** 20));
    for (let at = 0; at < Math.max(bytes, 1); )
      at += writeSync(fd, zeros, 0, Math.min(zeros.length, Math.max(bytes, 1) - at));
    const block = host().mapWritable(path, fd, Math.max(bytes, 1));
    if (!block) throw new Error('the system refused to map it');
    return { ...block, bytes };
  } catch (cause) {
    rmSync(path, { force: true });
    const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC';
    throw new SessionError({
      code: full ? 'disk-full' : 'file-unmappable',
      message: `The optimizer's state cannot lie in ${path}: ${(cause as Error).message}.`,
      remedy: full
        ? 'Free space on this disk, or set spill_optimizer_state: false.'
        : 'Check that the folder can be written, or set spill_optimizer_state: false.',
      cause,
    });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

export function copyBytes(
  to: Pointer | ArrayBufferView,
  from: Pointer | ArrayBufferView,
  bytes: number,
): void {
  if (bytes > 0) host().copy(to, from, bytes);
}

/** The memory as an ArrayBuffer, without a copy. It must not outlive the block. */
export function exposeBytes(address: Pointer, bytes: number): ArrayBuffer {
  if (bytes === 0) return new ArrayBuffer(0);
  try {
    return koffi.view(address, bytes);
  } catch (cause) {
    throw new SessionError({
      code: 'view-unavailable',
      message: 'This JavaScript engine forbids views of memory outside its heap.',
      remedy: 'Run the engine under Node instead of Electron, or copy with read and write.',
      cause,
    });
  }
}

function host(): HostPlatform {
  platform ??= process.platform === 'win32' ? windows() : posix();
  return platform;
}

const allBits = (1n << 64n) - 1n;

function posix(): HostPlatform {
  const c = koffi.load(null);
  const mmap = c.func('mmap', 'void *', ['void *', 'size_t', 'int', 'int', 'int', 'int64']);
  const munmap = c.func('munmap', 'int', ['void *', 'size_t']);
  const memcpy = c.func('memcpy', 'void *', ['void *', 'void *', 'size_t']);
  const read = 1;
  const write = 2;
  const shared = 1;
  const privateAnonymous = process.platform === 'darwin' ? 0x1002 : 0x22;
  const block = (address: Pointer | null, bytes: number): Block | null =>
    address === null || address === allBits || address === -1n
      ? null
      : { address, bytes, free: () => void munmap(address, bytes) };
  return {
    reserve: (bytes) => block(mmap(null, bytes, read | write, privateAnonymous, -1, 0), bytes),
    map: (_path, fd, bytes) => block(mmap(null, bytes, read, shared, fd, 0), bytes),
    mapWritable: (path, fd, bytes) => {
      const mapped = block(mmap(null, bytes, read | write, shared, fd, 0), bytes);
      // The pages live on without a name, so that even a killed process leaves nothing behind.
      rmSync(path, { force: true });
      return mapped;
    },
    copy: (to, from, bytes) => void memcpy(to, from, bytes),
  };
}

function windows(): HostPlatform {
  const k = koffi.load('kernel32.dll');
  const VirtualAlloc = k.func('VirtualAlloc', 'void *', ['void *', 'size_t', 'uint32', 'uint32']);
  const VirtualFree = k.func('VirtualFree', 'int', ['void *', 'size_t', 'uint32']);
  const CreateFileW = k.func('CreateFileW', 'void *', [
    'str16',
    'uint32',
    'uint32',
    'void *',
    'uint32',
    'uint32',
    'void *',
  ]);
  const CreateFileMappingW = k.func('CreateFileMappingW', 'void *', [
    'void *',
    'void *',
    'uint32',
    'uint32',
    'uint32',
    'str16',
  ]);
  const MapViewOfFile = k.func('MapViewOfFile', 'void *', ['void *', 'uint32', 'uint32', 'uint32', 'size_t']);
  const UnmapViewOfFile = k.func('UnmapViewOfFile', 'int', ['void *']);
  const CloseHandle = k.func('CloseHandle', 'int', ['void *']);
  const RtlMoveMemory = k.func('RtlMoveMemory', 'void', ['void *', 'void *', 'size_t']);
  const commitAndReserve = 0x3000;
  const readWrite = 4;
  const releaseAll = 0x8000;
  const genericRead = 0x80000000;
  const shareReadDelete = 1 | 4;
  const openExisting = 3;
  const pageReadOnly = 2;
  const mapRead = 4;
  const mapWrite = 2;
  const pageReadWrite = 4;
  const genericWrite = 0x40000000;
  const deleteOnClose = 0x04000000;
  return {
    reserve: (bytes) => {
      const address = VirtualAlloc(null, bytes, commitAndReserve, readWrite) as Pointer | null;
      return address === null
        ? null
        : { address, bytes, free: () => void VirtualFree(address, 0, releaseAll) };
    },
    map: (path, _fd, bytes) => {
      const file = CreateFileW(
        path,
        genericRead,
        shareReadDelete,
        null,
        openExisting,
        0,
        null,
      ) as Pointer | null;
      if (file === null || file === allBits || file === -1n) return null;
      const section = CreateFileMappingW(file, null, pageReadOnly, 0, 0, null) as Pointer | null;
      CloseHandle(file);
      if (section === null) return null;
      // The view keeps the section alive.
      const address = MapViewOfFile(section, mapRead, 0, 0, 0) as Pointer | null;
      CloseHandle(section);
      return address === null ? null : { address, bytes, free: () => void UnmapViewOfFile(address) };
    },
    mapWritable: (path, _fd, bytes) => {
      const access = genericRead | genericWrite;
      const share = shareReadDelete | 2;
      const opened = CreateFileW(path, access, share, null, openExisting, deleteOnClose, null);
      const file = opened as Pointer | null;
      if (file === null || file === allBits || file === -1n) return null;
      const section = CreateFileMappingW(file, null, pageReadWrite, 0, 0, null) as Pointer | null;
      const address =
        section === null ? null : (MapViewOfFile(section, mapRead | mapWrite, 0, 0, 0) as Pointer | null);
      if (section !== null) CloseHandle(section);
      // The file goes when this handle does.
      const free = (): void => {
        if (address !== null) UnmapViewOfFile(address);
        CloseHandle(file);
      };
      if (address === null) free();
      return address === null ? null : { address, bytes, free };
    },
    copy: (to, from, bytes) => void RtlMoveMemory(to, from, bytes),
  };
}
