// Reads and writes safetensors files: tensors where they lie, a stream at a time. Knows nothing of models.
import { type FileHandle, open } from 'node:fs/promises';
import type { Problem } from '../../protocol/errors';
import { CheckpointError, invariant } from '../errors';
import { type FileOperations, writeFileAtomic } from '../files/atomic';
import { readError } from '../files/diskErrors';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './halfFloat';
import {
  maxHeaderBytes,
  parseHeader,
  type SafetensorsDType,
  safetensorsBits,
  shownName,
  type TensorRef,
} from './safetensorsHeader';

export type { SafetensorsDType, TensorRef } from './safetensorsHeader';

export interface SafetensorsFile {
  path: string;
  metadata: Record<string, string>;
  tensors: Map<string, TensorRef>;
}

/** What a look at a file found. `code` names the kind when there are problems. */
export interface Inspection {
  file: SafetensorsFile;
  problems: Problem[];
  code: string;
  remedy: string;
}

/** Bytes read or written at a time: large enough for the disk, small against a model. */
const chunkBytes = 8 * 2 ** 20;
const listed = 100;
const again = 'Download the file again, or save it again from the program that made it.';

/** Shortens a list of problems that a broken file made long; the last line says how many more there are. */
export function shorten(problems: Problem[], limit = listed): Problem[] {
  if (problems.length <= limit) return problems;
  return [
    ...problems.slice(0, limit),
    { where: '…', message: `and ${problems.length - limit} more problems` },
  ];
}

async function readSome(handle: FileHandle, offset: number, into: Uint8Array): Promise<number> {
  let done = 0;
  while (done < into.byteLength) {
    const length = Math.min(into.byteLength - done, chunkBytes);
    const { bytesRead } = await handle.read(into, done, length, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** What else a file of this name turned out to be, by its first bytes. */
function foreignKind(head: Uint8Array): { code: string; message: string; remedy: string } | undefined {
  const text = Buffer.from(head).toString('latin1');
  if (text.startsWith('version https://git-lfs')) {
    return {
      code: 'git-lfs-pointer',
      message: 'is a git-LFS pointer: a note of where the weights are, not the weights',
      remedy: 'Run "git lfs pull" in that folder to fetch the weights.',
    };
  }
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    return {
      code: 'not-safetensors',
      message: 'is a web page, probably saved in place of the download',
      remedy: 'Download the file itself; a gated model needs a login.',
    };
  }
  // The first bytes of a bare pickle could be a header length too; the upper half of a true length is zero.
  const isPickle = head[0] === 0x80 && head[1]! <= 5 && head.subarray(4, 8).some((byte) => byte !== 0);
  if (text.startsWith('PK\x03\x04') || isPickle) {
    return {
      code: 'pickle-file',
      message: 'is a PyTorch pickle under another name; pickles can run code and are never opened',
      remedy: 'Convert it to safetensors with the program that made it.',
    };
  }
  if (text.startsWith('GGUF')) {
    return {
      code: 'gguf-file',
      message: 'is a GGUF file under another name',
      remedy: 'Use the original safetensors checkpoint that the GGUF was made from.',
    };
  }
  return undefined;
}

/**
 * Looks at the header of `path` and collects every problem instead of throwing at the first.
 * Throws CheckpointError only when the file cannot be opened or read.
 */
export async function inspectSafetensors(path: string): Promise<Inspection> {
  const file: SafetensorsFile = { path, metadata: {}, tensors: new Map() };
  const failed = (message: string, code = 'safetensors-broken', remedy = again): Inspection => ({
    file,
    problems: [{ where: path, message, remedy }],
    code,
    remedy,
  });
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const head = new Uint8Array(Math.min(size, 256));
      await readSome(handle, 0, head);
      const foreign = foreignKind(head);
      if (foreign) return failed(foreign.message, foreign.code, foreign.remedy);
      if (size < 8) return failed(`has ${size} bytes; a safetensors file has at least 8: it is cut off`);
      const length = new DataView(head.buffer).getBigUint64(0, true);
      if (length > BigInt(maxHeaderBytes)) {
        return failed(`claims a header of ${length} bytes; the format allows ${maxHeaderBytes}`);
      }
      const dataStart = 8 + Number(length);
      if (dataStart > size) {
        return failed(
          `claims a header of ${length} bytes, but ends after ${size}: it is cut off or no safetensors file`,
        );
      }
      const bytes = new Uint8Array(Number(length));
      await readSome(handle, 8, bytes);
      let text: string;
      try {
        text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      } catch {
        return failed('has a header that is not UTF-8 text');
      }
      if (!text.startsWith('{')) return failed('has a header that does not begin with "{"');
      const parsed = parseHeader(text, path, dataStart, size);
      const problems = parsed.problems.map((problem) => ({ ...problem, where: `${path}, ${problem.where}` }));
      const remedy = parsed.problems.find((problem) => problem.remedy)?.remedy ?? again;
      return {
        file: { path, metadata: parsed.metadata, tensors: parsed.tensors },
        problems: shorten(problems),
        code: 'safetensors-broken',
        remedy,
      };
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw readError(error, path, CheckpointError, 'checkpoint-file');
  }
}

/** The tensors of a safetensors file, not their data. Throws one CheckpointError with all problems of the file. */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const { file, problems, code, remedy } = await inspectSafetensors(path);
  if (problems.length > 0) {
    throw new CheckpointError({
      code,
      message:
        problems.length === 1
          ? `${problems[0]!.where} ${problems[0]!.message}.`
          : `${path} is not a valid safetensors file:\n${problems.map((p) => `  ${p.where}: ${p.message}`).join('\n')}`,
      remedy,
      problems,
    });
  }
  return file;
}

/** Reads `into.byteLength` bytes at `offset` from each place in turn; one open per call. */
export async function readBytes(file: string, places: { offset: number; into: Uint8Array }[]): Promise<void> {
  try {
    const handle = await open(file, 'r');
    try {
      for (const { offset, into } of places) {
        const done = await readSome(handle, offset, into);
        if (done < into.byteLength) {
          throw new CheckpointError({
            code: 'checkpoint-file-changed',
            message: `${file} ends at byte ${offset + done}, but ${into.byteLength} bytes were expected at ${offset}: it was cut or replaced while in use.`,
            remedy: 'Leave the checkpoint alone while it is used, and start again.',
          });
        }
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw readError(error, file, CheckpointError, 'checkpoint-file');
  }
}

/** A tensor's bytes as they lie in the file, at the start of a buffer of their own. */
export async function readRaw(ref: TensorRef): Promise<Uint8Array> {
  const into = new Uint8Array(ref.bytes);
  await readBytes(ref.file, [{ offset: ref.offset, into }]);
  return into;
}

/**
 * A tensor's bytes in pieces of `size` bytes (a multiple of 8); `byteOffset` counts from the tensor's start.
 * Each piece is valid until the next is asked for.
 */
export async function* readPieces(
  ref: TensorRef,
  size = chunkBytes,
): AsyncGenerator<{ bytes: Uint8Array; byteOffset: number }> {
  const buffer = new Uint8Array(Math.min(size, ref.bytes));
  for (let at = 0; at < ref.bytes; at += size) {
    const into = buffer.subarray(0, Math.min(size, ref.bytes - at));
    await readBytes(ref.file, [{ offset: ref.offset + at, into }]);
    yield { bytes: into, byteOffset: at };
  }
}

/** A float tensor (F64, F32, F16, BF16) as float32 of its shape's size. Other types throw CheckpointError. */
export async function readTensor(ref: TensorRef): Promise<Float32Array> {
  if (ref.dtype === 'F32') return new Float32Array((await readRaw(ref)).buffer);
  if (ref.dtype !== 'F16' && ref.dtype !== 'BF16' && ref.dtype !== 'F64') {
    throw new CheckpointError({
      code: 'tensor-dtype-unsupported',
      message: `${ref.file}: tensor ${shownName(ref.name)} is ${ref.dtype}; weights are read from F32, F16, BF16 and F64.`,
      remedy: ref.dtype.startsWith('F8')
        ? 'Use the checkpoint in BF16 or F16; 8-bit floats are not supported.'
        : 'Use an unquantised checkpoint in F32, F16 or BF16.',
    });
  }
  const width = safetensorsBits[ref.dtype] / 8;
  const out = new Float32Array(ref.bytes / width);
  for await (const { bytes, byteOffset } of readPieces(ref)) {
    const count = bytes.byteLength / width;
    const part = out.subarray(byteOffset / width, byteOffset / width + count);
    if (ref.dtype === 'F64') part.set(new Float64Array(bytes.buffer, bytes.byteOffset, count));
    else {
      const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
      if (ref.dtype === 'F16') f16ToF32(halves, part);
      else bf16ToF32(halves, part);
    }
  }
  return out;
}

/** Float32Array is converted to `dtype`; any other view is written as its bytes, which must be the tensor's. */
export type TensorData = ArrayBufferView | (() => Promise<ArrayBufferView>);

export interface TensorToWrite {
  name: string;
  dtype: SafetensorsDType;
  shape: readonly number[];
  /** A function is called when its turn comes, so that a large model is never whole in memory. */
  data: TensorData;
}

/**
 * Writes a safetensors file, whole or not at all. Tensors are laid out as the reference implementation does (wider
 * element types first, then by name), so equal content gives equal bytes. Throws RunError for the disk's failures.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Record<string, string> = { format: 'pt' },
  fs?: FileOperations,
): Promise<void> {
  const order = Object.keys(safetensorsBits);
  const sorted = [...tensors].sort(
    (a, b) =>
      order.indexOf(b.dtype) - order.indexOf(a.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  let offset = 0;
  for (const { name, dtype, shape } of sorted) {
    const bytes = shape.reduce((product, size) => product * size, safetensorsBits[dtype] / 8);
    invariant(Number.isSafeInteger(bytes), `tensor ${name} [${shape}] of ${dtype} has whole bytes`);
    entries.push([name, { dtype, shape: [...shape], data_offsets: [offset, offset + bytes] }]);
    offset += bytes;
  }
  invariant(new Set(entries.map(([name]) => name)).size === entries.length, 'tensor names are unique');
  // Not JSON.stringify of an object: keys that look like integers would move to the front.
  const json = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = Buffer.from(json);
  const header = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  text.copy(header, 8);

  async function* content(): AsyncGenerator<Uint8Array> {
    yield header;
    for (const tensor of sorted) {
      const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data;
      const count = tensor.shape.reduce((product, size) => product * size, 1);
      const bytes = (count * safetensorsBits[tensor.dtype]) / 8;
      if (data instanceof Float32Array && isConverted(tensor.dtype)) {
        invariant(data.length === count, `tensor ${tensor.name} [${tensor.shape}] has ${data.length} values`);
        yield* converted(data, tensor.dtype);
      } else {
        invariant(
          data.byteLength === bytes,
          `tensor ${tensor.name} has ${data.byteLength} bytes, not ${bytes}`,
        );
        yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      }
    }
  }
  await writeFileAtomic(path, content(), fs);
}

const converters = {
  F16: (part: Float32Array) => f32ToF16(part),
  BF16: (part: Float32Array) => f32ToBf16(part),
  F64: (part: Float32Array) => Float64Array.from(part),
};

function isConverted(dtype: SafetensorsDType): dtype is keyof typeof converters {
  return Object.hasOwn(converters, dtype);
}

function* converted(data: Float32Array, dtype: keyof typeof converters): Generator<Uint8Array> {
  const step = chunkBytes / 8;
  for (let at = 0; at < data.length; at += step) {
    const part = converters[dtype](data.subarray(at, at + step));
    yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  }
}
