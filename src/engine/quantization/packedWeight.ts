// A weight matrix in four bits: what it is made of, how its parts lie on the device, and the way to it and back. Weights are
// taken as [out, in], whatever the checkpoint's layout, as transformers does for Conv1D. Knows no graph and no runtime.
import type { DType } from '../dtype';
import type { QuantType } from './codes';
import { dequantizeFourBit, quantizeFourBit } from './fourBit';
import { dequantizeSizes, type QuantizedSizes, quantizeSizes, sizesBlock } from './sizes';

/** How weights are quantised. */
export interface QuantFormat {
  quantType: QuantType;
  blockSize: number;
  /** Whether the sizes of blocks are quantised too. */
  doubleQuant: boolean;
}

/** QLoRA's, without double quantisation: what PEFT's LoftQ quantises to. */
export const usualFormat: QuantFormat = { quantType: 'nf4', blockSize: 64, doubleQuant: false };

/** A quantised weight without its values. */
export interface PackedForm extends QuantFormat {
  outFeatures: number;
  inFeatures: number;
  /** The checkpoint has it as [in, out] (Conv1D). */
  transposed: boolean;
}

export interface PackedWeight extends PackedForm {
  /** Two codes a byte, ceil(out·in / 2) bytes. */
  codes: Uint8Array;
  absmax: Float32Array | QuantizedSizes;
}

/** One tensor of a packed weight on the device. */
export interface PackedPart {
  /** Below the weight's name, as bitsandbytes names it; empty for the codes. */
  suffix: '' | '.absmax' | '.nested_absmax' | '.nested_offset';
  dtype: DType;
  shape: readonly number[];
}

/** How many blocks a weight has; the last may be short. */
export function blocksOf({ outFeatures, inFeatures, blockSize }: PackedForm): number {
  return Math.ceil((outFeatures * inFeatures) / blockSize);
}

/** The tensors on the device. Codes fill whole blocks there, quantised sizes whole blocks of 256. */
export function packedParts(form: PackedForm): PackedPart[] {
  const blocks = blocksOf(form);
  const codes: PackedPart = { suffix: '', dtype: 'uint8', shape: [(blocks * form.blockSize) / 2] };
  if (!form.doubleQuant) return [codes, { suffix: '.absmax', dtype: 'float32', shape: [blocks] }];
  const outer = Math.ceil(blocks / sizesBlock);
  return [
    codes,
    { suffix: '.absmax', dtype: 'uint8', shape: [outer * sizesBlock] },
    { suffix: '.nested_absmax', dtype: 'float32', shape: [outer] },
    { suffix: '.nested_offset', dtype: 'float32', shape: [1] },
  ];
}

/** Quantises a weight [out, in]. */
export function packWeight(values: Float32Array, form: PackedForm): PackedWeight {
  const { packed, absmax } = quantizeFourBit(values, form.quantType, form.blockSize);
  return { ...form, codes: packed, absmax: form.doubleQuant ? quantizeSizes(absmax) : absmax };
}

/** The values that a packed weight stands for, [out, in]. */
export function unpackWeight({ codes, absmax, ...form }: PackedWeight): Float32Array {
  return dequantizeFourBit({
    quantType: form.quantType,
    blockSize: form.blockSize,
    count: form.outFeatures * form.inFeatures,
    packed: codes,
    absmax: absmax instanceof Float32Array ? absmax : dequantizeSizes(absmax),
  });
}

/** The data of a weight's parts, as `packedParts` lists them. */
export function partData({ codes, absmax, ...form }: PackedWeight): (Uint8Array | Float32Array)[] {
  const [codesPart, sizesPart] = packedParts(form) as [PackedPart, PackedPart];
  const filled = (bytes: Uint8Array, length: number): Uint8Array => {
    if (bytes.length === length) return bytes;
    const whole = new Uint8Array(length);
    whole.set(bytes);
    return whole;
  };
  const first = filled(codes, codesPart.shape[0]!);
  if (absmax instanceof Float32Array) return [first, absmax];
  return [first, filled(absmax.codes, sizesPart.shape[0]!), absmax.absmax, Float32Array.of(absmax.offset)];
}

/** The weight whose parts have this data. */
export function fromParts(form: PackedForm, parts: readonly ArrayBufferView[]): PackedWeight {
  const codes = (parts[0] as Uint8Array).subarray(0, Math.ceil((form.outFeatures * form.inFeatures) / 2));
  if (!form.doubleQuant) return { ...form, codes, absmax: parts[1] as Float32Array };
  const absmax: QuantizedSizes = {
    codes: (parts[1] as Uint8Array).subarray(0, blocksOf(form)),
    absmax: parts[2] as Float32Array,
    offset: (parts[3] as Float32Array)[0]!,
  };
  return { ...form, codes, absmax };
}

/** [rows, columns] → [columns, rows]. */
export function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j]!;
  return out;
}
