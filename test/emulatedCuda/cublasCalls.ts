// Calls of the stand-in for cuBLAS through koffi, as ONNX Runtime's CUDA provider makes them, on matrices in the stand-in's device
// memory. Needs a C compiler on Linux, no GPU and no provider.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../src/engine/checkpoint/halfFloat';
import { buildLibrary } from './standIns';

/** Whether this machine can build the stand-ins. */
export const buildable = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0;

/** CUDA's numbers for types; `unit` is the largest relative error of a number rounded to the type. */
export const types = {
  f32: { code: 0, bytes: 4, unit: 2 ** -24, array: Float32Array },
  f64: { code: 1, bytes: 8, unit: 2 ** -53, array: Float64Array },
  f16: { code: 2, bytes: 2, unit: 2 ** -11, array: Uint16Array },
  i8: { code: 3, bytes: 1, unit: 0, array: Int8Array },
  i32: { code: 10, bytes: 4, unit: 0, array: Int32Array },
  bf16: { code: 14, bytes: 2, unit: 2 ** -8, array: Uint16Array },
} as const;
export type Type = keyof typeof types;
/** cublasComputeType_t. */
export const computes = { single: 68, half: 64, double: 70, integer: 72 };

/** alpha or beta, in the type that the way to compute asks for. */
export function scalar(x: number, compute: number): Uint8Array {
  if (compute === computes.half) return new Uint8Array(f32ToF16(Float32Array.of(x)).buffer);
  if (compute === computes.double) return new Uint8Array(Float64Array.of(x).buffer);
  return new Uint8Array((compute === computes.integer ? Int32Array : Float32Array).of(x).buffer);
}

let seed = 1;
/** In [-1, 1). */
function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 31 - 1;
}

/** `count` matrices on the device, column by column, `leading` elements apart; what nobody wrote is 0xFF (NaN). */
export class Matrices {
  readonly stride: number;
  private readonly memory: ArrayBuffer;
  constructor(
    readonly address: bigint,
    readonly type: Type,
    readonly rows: number,
    readonly columns: number,
    readonly leading: number,
    readonly count: number,
  ) {
    this.stride = leading * columns;
    this.memory = koffi.view(address, this.stride * count * types[type].bytes);
    new Uint8Array(this.memory).fill(0xff);
  }

  private places(): number[] {
    const { rows, columns, leading, count } = this;
    const place = (index: number): number => Math.floor(index / rows) * leading + (index % rows);
    return Array.from({ length: rows * columns * count }, (_, index) => place(index));
  }

  /** All elements, column by column, matrix by matrix. */
  get values(): number[] {
    const stored = new types[this.type].array(this.memory);
    const of = this.places().map((place) => stored[place]!);
    if (this.type === 'f16') return [...f16ToF32(Uint16Array.from(of))];
    return this.type === 'bf16' ? [...bf16ToF32(Uint16Array.from(of))] : of;
  }
  set values(all: readonly number[]) {
    const stored = new types[this.type].array(this.memory);
    const single = Float32Array.from(all);
    const as = this.type === 'f16' ? f32ToF16(single) : this.type === 'bf16' ? f32ToBf16(single) : all;
    for (const [index, place] of this.places().entries()) stored[place] = as[index]!;
  }

  /** With random elements. */
  filled(): this {
    const scale = types[this.type].unit === 0 ? 127 : 1;
    this.values = this.places().map(() => scale * random());
    return this;
  }

  /** Holds the bytes between columns against what they were. */
  checkGaps(): void {
    const { bytes } = types[this.type];
    const raw = new Uint8Array(this.memory);
    for (let column = 0; column < this.columns * this.count; column++) {
      const gap = raw.subarray(
        (column * this.leading + this.rows) * bytes,
        (column + 1) * this.leading * bytes,
      );
      assert.ok(
        gap.every((x) => x === 0xff),
        `column ${column} is written past its end`,
      );
    }
  }
}

/** A product op(A)·op(B) of m × k and k × n. */
export interface Shape {
  m: number;
  n: number;
  k: number;
  transA: number;
  transB: number;
}
/** A function for products: with types named (…Ex) or not, of one pair of matrices or of a batch. */
export interface Form {
  name: string;
  ex?: boolean;
  batch?: 'strided' | 'listed';
}

export class Cublas {
  private readonly handle: bigint;
  private readonly stream: bigint;
  private constructor(
    private readonly cudart: LibraryHandle,
    private readonly cublas: LibraryHandle,
    readonly cublasLt: LibraryHandle,
  ) {
    this.stream = made(cudart, 'cudaStreamCreateWithFlags', 'uint', 1);
    this.handle = made(cublas, 'cublasCreate_v2');
    assert.equal(this.call('cublasSetStream_v2', 'p', this.stream), 0);
  }

  /** Builds the libraries in `folder`, where the lines of the calls and of the products come too (`trace`, `products`). */
  static open(folder: string): Cublas {
    process.env.EMULATED_CUDA_TRACE = join(folder, 'trace');
    process.env.EMULATED_CUDA_PRODUCTS = join(folder, 'products');
    const names = ['libcudart.so.13', 'libcublas.so.13', 'libcublasLt.so.13'] as const;
    for (const name of names) buildLibrary(name, folder, [], names[0]);
    const [cudart, cublas, cublasLt] = names.map((name) => koffi.load(join(folder, name)));
    return new Cublas(cudart!, cublas!, cublasLt!);
  }

  allocate(bytes: number): bigint {
    return made(this.cudart, 'cudaMalloc', 'size_t', bytes);
  }

  matrices(type: Type, rows: number, columns: number, leading = rows + 3, count = 1): Matrices {
    const address = this.allocate(leading * columns * count * types[type].bytes);
    return new Matrices(address, type, rows, columns, leading, count);
  }

  /** Runs what is on the stream. */
  wait(): void {
    assert.equal(this.cudart.func('cudaStreamSynchronize', 'int', ['void *'])(this.stream), 0);
  }

  /** A function's status. Its arguments' types by letter: p pointer, i int, l long. */
  call(name: string, letters: string, ...values: unknown[]): number {
    const named: Record<string, string> = { p: 'void *', i: 'int', l: 'long long' };
    const parameters = ['void *', ...[...letters].map((letter) => named[letter]!)];
    return this.cublas.func(name, 'int', parameters)(this.handle, ...values);
  }

  /** The status of C = alpha·op(A)·op(B) + beta·C. `lists` are the arrays of pointers of a `listed` batch; one A serves a strided one. */
  multiply(
    form: Form,
    shape: Shape,
    operands: readonly [Matrices, Matrices, Matrices],
    factors: readonly [Uint8Array, Uint8Array],
    compute: number,
    lists: readonly bigint[] = [],
  ): number {
    const { name, ex = false, batch } = form;
    const [a, b, c] = operands.map((x, i) => [
      lists[i] ?? x.address,
      ...(ex ? [types[x.type].code] : []),
      x.leading,
      ...(batch === 'strided' ? [x.count === 1 ? 0 : x.stride] : []),
    ]);
    const operand = `p${ex ? 'i' : ''}i${batch === 'strided' ? 'l' : ''}`;
    const last = [...(batch ? [operands[2].count] : []), ...(ex ? [compute, -1] : [])];
    const letters = `iiiiip${operand}${operand}p${operand}${'i'.repeat(last.length)}`;
    const { m, n, k, transA, transB } = shape;
    return this.call(
      name,
      letters,
      transA,
      transB,
      m,
      n,
      k,
      factors[0],
      ...a!,
      ...b!,
      factors[1],
      ...c!,
      ...last,
    );
  }
}

function made(library: LibraryHandle, name: string, type?: string, argument?: number): bigint {
  const out: (bigint | null)[] = [null];
  const parameters = [koffi.out(koffi.pointer('void *')), ...(type ? [type] : [])];
  assert.equal(library.func(name, 'int', parameters)(out, ...(type ? [argument] : [])), 0);
  return out[0]!;
}
