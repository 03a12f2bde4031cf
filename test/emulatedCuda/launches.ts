// Launches of kernels on the stand-in for CUDA's runtime library, as a program would make them: from PTX text to results, without
// ONNX Runtime and without a GPU. Needs a C compiler on Linux.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';
import { buildLibrary } from './standIns';

/** Whether this machine can build the stand-in and its kernels. */
export const launchable =
  process.platform === 'linux' && process.arch === 'x64' && spawnSync('cc', ['--version']).status === 0;

/** The program that makes a kernel's library; built beside the tests. */
const translator = join(resolve('build', 'test', 'emulatedCuda'), 'translateKernel.js');
const dim3 = launchable ? koffi.struct({ x: 'uint32_t', y: 'uint32_t', z: 'uint32_t' }) : undefined;

/** A pointer as a bigint, an integer of 32 bits as a number. */
export type Argument = bigint | number | Uint8Array;
export type Extent = readonly [number, number?, number?];

export class Device {
  private readonly kept: Uint8Array[] = [];
  private readonly known = new Map<string, bigint>();
  private constructor(
    private readonly library: LibraryHandle,
    private readonly names: BigUint64Array,
  ) {}

  /** @param modules PTX text by file name. @param folder an empty one for everything that comes out of it. */
  static open(folder: string, modules: Readonly<Record<string, string>>): Device {
    assert.ok(existsSync(translator), `${translator} is missing. Run node scripts/build.mjs --tests.`);
    const index: Record<string, string> = {};
    for (const [file, text] of Object.entries(modules)) {
      writeFileSync(join(folder, file), text);
      for (const [, name] of text.matchAll(/\.entry\s+([\w$]+)/g)) index[name!] = file;
    }
    writeFileSync(join(folder, 'index.json'), JSON.stringify(index));
    const kernels = join(folder, 'kernels');
    mkdirSync(kernels, { recursive: true });
    process.env.EMULATED_CUDA_PTX = folder;
    process.env.EMULATED_CUDA_NATIVE = resolve('test', 'emulatedCuda', 'native');
    process.env.EMULATED_CUDA_KERNELS = kernels;
    process.env.EMULATED_CUDA_TRANSLATE = `'${process.execPath}' '${translator}'`;
    process.env.EMULATED_CUDA_TRACE = join(folder, 'trace');
    const name = 'libcudart.so.13';
    if (!existsSync(join(folder, name))) buildLibrary(name, folder, [], name);
    // An address for each kernel.
    return new Device(koffi.load(join(folder, name)), new BigUint64Array(4096));
  }

  private function(name: string, result: string, parameters: unknown[]): ReturnType<LibraryHandle['func']> {
    return this.library.func(name, result, parameters as string[]);
  }

  allocate(bytes: number): bigint {
    const out: (bigint | null)[] = [null];
    const parameters = [koffi.out(koffi.pointer('void *')), 'size_t'];
    assert.equal(this.function('cudaMalloc', 'int', parameters)(out, bytes), 0);
    return out[0]!;
  }
  /** Memory of the device that holds `data`. */
  copyIn(data: ArrayBufferView): bigint {
    const to = this.allocate(data.byteLength);
    const parameters = ['void *', 'void *', 'size_t', 'int'];
    const own = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    assert.equal(this.function('cudaMemcpy', 'int', parameters)(to, own, own.length, 1), 0);
    return to;
  }
  copyOut(from: bigint, bytes: number): ArrayBuffer {
    const own = new Uint8Array(bytes);
    const parameters = [koffi.out('void *'), 'void *', 'size_t', 'int'];
    assert.equal(this.function('cudaMemcpy', 'int', parameters)(own, from, bytes, 2), 0);
    return own.buffer;
  }

  private addressOf(name: string): bigint {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    const address = BigInt(koffi.address(this.names)) + BigInt(16 * this.kept.length);
    // The library keeps the name where it is.
    const text = new TextEncoder().encode(`${name}\0`);
    this.kept.push(text);
    const parameters = ['void *', 'void *', 'void *', 'void *'];
    this.function('__cudaRegisterFunction', 'void', parameters)(null, address, null, text);
    this.known.set(name, address);
    return address;
  }

  /** CUDA's error of a launch, 0 for none; it runs at `wait`. */
  launch(name: string, grid: Extent, block: Extent, args: readonly Argument[], shared = 0): number {
    const values = args.map((value) =>
      typeof value === 'bigint'
        ? BigUint64Array.of(value)
        : typeof value === 'number'
          ? Int32Array.of(value)
          : value,
    );
    const list = BigUint64Array.from(values.map((value) => BigInt(koffi.address(value))));
    const extent = ([x, y = 1, z = 1]: Extent): object => ({ x, y, z });
    const parameters = ['void *', dim3!, dim3!, 'void *', 'size_t', 'void *'];
    const call = this.function('cudaLaunchKernel', 'int', parameters);
    return call(this.addressOf(name), extent(grid), extent(block), list, shared, null) as number;
  }
  wait(): void {
    assert.equal(this.function('cudaDeviceSynchronize', 'int', [])(), 0);
  }
  /** Launches and waits. */
  run(name: string, grid: Extent, block: Extent, args: readonly Argument[], shared = 0): void {
    assert.equal(this.launch(name, grid, block, args, shared), 0, name);
    this.wait();
  }
}
