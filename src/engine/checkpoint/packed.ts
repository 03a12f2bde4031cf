// Weights that a checkpoint holds in bitsandbytes' four bits: which tensors belong together and what their state says. Comes
// in: the checkpoint's tensors. Goes out: one entry per weight, checked against the code books. Knows no model.
import type { Problem } from '../../protocol/errors';
import { CheckpointError, raiseProblems } from '../errors';
import { isJsonObject, type JsonObject } from '../files/json';
import { codeBooks, dynamicCodes, type QuantType } from '../quantization/codes';
import { blockSizes } from '../quantization/fourBit';
import { sizesBlock } from '../quantization/sizes';
import { readRaw, readTensor, shorten, type TensorRef } from './safetensors';
import { shownName } from './safetensorsHeader';

/** A weight in four bits as it lies in the files. */
export interface PackedTensor {
  quantType: QuantType;
  blockSize: number;
  doubleQuant: boolean;
  /** [out, in], also for Conv1D. */
  shape: readonly [number, number];
  /** What was taken off the block sizes before they were quantised. */
  offset: number;
  /** The element type that it was quantised from. */
  dtype: 'F32' | 'F16' | 'BF16';
  /** Codes, block sizes, and with double quantisation the sizes' sizes. */
  codes: TensorRef;
  absmax: TensorRef;
  nestedAbsmax?: TensorRef;
  /** Names of all tensors but the codes. */
  companions: readonly string[];
}

const stateName = /^(.+)\.quant_state\.bitsandbytes__(nf4|fp4)$/;
const dtypeNames: Readonly<Record<string, PackedTensor['dtype']>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
};
/** A state is a line of JSON; more is no state. */
const mostStateBytes = 4096;

/** The packed weights by the name of their codes; empty for a checkpoint without. Raises one CheckpointError. */
export async function packedTensors(
  tensors: ReadonlyMap<string, TensorRef>,
): Promise<Map<string, PackedTensor>> {
  const packed = new Map<string, PackedTensor>();
  const problems: Problem[] = [];
  for (const [stateKey, state] of tensors) {
    const match = stateName.exec(stateKey);
    if (!match) continue;
    const [, weight, quantType] = match as unknown as [string, string, QuantType];
    try {
      packed.set(weight, await packedTensor(weight, quantType, state, tensors));
    } catch (cause) {
      if (!(cause instanceof Unfit)) throw cause;
      problems.push({ where: shownName(weight), message: cause.message });
    }
  }
  raiseProblems(
    CheckpointError,
    'checkpoint-quantisation-broken',
    'Weights in four bits cannot be read:',
    shorten(problems),
    'Download the checkpoint again, or use the unquantised one with load_in_4bit: true.',
  );
  return packed;
}

class Unfit extends Error {}

async function packedTensor(
  weight: string,
  quantType: QuantType,
  state: TensorRef,
  tensors: ReadonlyMap<string, TensorRef>,
): Promise<PackedTensor> {
  const companion = (suffix: string, dtype: TensorRef['dtype'], count?: number): TensorRef => {
    const ref = tensors.get(`${weight}${suffix}`);
    if (!ref) throw new Unfit(`has no ${suffix || 'codes'} beside its quant_state`);
    if (ref.dtype !== dtype) throw new Unfit(`${suffix || 'codes'} are ${ref.dtype}; expected ${dtype}`);
    const found = ref.shape.reduce((product, size) => product * size, 1);
    if (count !== undefined && found !== count)
      throw new Unfit(`${suffix || 'codes'} have ${found} elements; expected ${count}`);
    return ref;
  };
  const json = await readState(state);
  const { blocksize: blockSize, nested_blocksize: nested, shape } = json;
  if (!Array.isArray(shape) || shape.length !== 2 || !shape.every((n) => Number.isSafeInteger(n) && n > 0))
    throw new Unfit(`quant_state has the shape ${JSON.stringify(shape)?.slice(0, 80)}; expected two sizes`);
  if (typeof blockSize !== 'number' || !blockSizes.includes(blockSize))
    throw new Unfit(
      `quant_state has the blocksize ${String(blockSize).slice(0, 20)}; known are ${blockSizes.join(', ')}`,
    );
  const dtype = dtypeNames[String(json.dtype)];
  if (!dtype)
    throw new Unfit(`quant_state has the dtype ${String(json.dtype).slice(0, 20)}; expected a float type`);
  const doubleQuant = tensors.has(`${weight}.nested_absmax`);
  if (doubleQuant && (nested !== sizesBlock || !Number.isFinite(json.nested_offset)))
    throw new Unfit(`quant_state has no nested_offset, or a nested_blocksize other than ${sizesBlock}`);
  const count = shape[0] * shape[1];
  const blocks = Math.ceil(count / blockSize);
  const codes = companion('', 'U8', Math.ceil(count / 2));
  const map = companion('.quant_map', 'F32', 16);
  if (!equal(await readTensor(map), codeBooks[quantType].values))
    throw new Unfit(`quant_map is not that of ${quantType}`);
  const names = ['.absmax', '.quant_map'];
  const own = {
    quantType,
    blockSize,
    doubleQuant,
    shape: [shape[0], shape[1]] as const,
    offset: doubleQuant ? Math.fround(Number(json.nested_offset)) : 0,
    dtype,
    codes,
    absmax: companion('.absmax', doubleQuant ? 'U8' : 'F32', blocks),
  };
  if (!doubleQuant) return { ...own, companions: [...names.map((suffix) => weight + suffix), state.name] };
  const nestedMap = companion('.nested_quant_map', 'F32', 256);
  if (!equal(await readTensor(nestedMap), dynamicCodes))
    throw new Unfit('nested_quant_map is not the dynamic one');
  names.push('.nested_absmax', '.nested_quant_map');
  return {
    ...own,
    nestedAbsmax: companion('.nested_absmax', 'F32', Math.ceil(blocks / sizesBlock)),
    companions: [...names.map((suffix) => weight + suffix), state.name],
  };
}

async function readState(ref: TensorRef): Promise<JsonObject> {
  if (ref.dtype !== 'U8' || ref.bytes > mostStateBytes)
    throw new Unfit(
      `quant_state is ${ref.dtype} of ${ref.bytes} bytes; expected text of at most ${mostStateBytes}`,
    );
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await readRaw(ref)));
    if (isJsonObject(json)) return json;
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause;
  }
  throw new Unfit('quant_state is no JSON object');
}

function equal(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) <= 1e-6);
}

/**
 * Refuses a checkpoint whose config says that it is quantised in a way that is not read here.
 * @throws CheckpointError `checkpoint-quantised`.
 */
export function refuseForeignQuantization(folder: string, config: JsonObject): void {
  const own = config.quantization_config;
  if (!isJsonObject(own)) return;
  const method = typeof own.quant_method === 'string' ? own.quant_method.slice(0, 40) : 'an unnamed method';
  const eight = own.load_in_8bit === true;
  if (method === 'bitsandbytes' && !eight) return;
  throw new CheckpointError({
    code: 'checkpoint-quantised',
    message: `${folder} is quantised by ${method}${eight ? ' in 8 bits' : ''}; read are unquantised weights and those in bitsandbytes' 4 bits (nf4, fp4).`,
    remedy: 'Use the unquantised checkpoint, with load_in_4bit: true if it shall take less memory.',
  });
}
