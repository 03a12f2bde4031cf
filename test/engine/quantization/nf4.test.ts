// NF4 and double quantisation against the reference's bytes (goldens: test/goldens/methods/formulas/quantisation) and by their
// invariants.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRaw, readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import {
  dequantizeNf4,
  dequantizeSizes,
  dynamicCodes,
  nf4Codes,
  quantizeNf4,
  quantizeSizes,
} from '../../../src/engine/quantization/nf4';
import { Random } from '../../../src/engine/random';

const golden = async () =>
  (
    await readSafetensors(
      join('test', 'goldens', 'methods', 'formulas', 'quantisation', 'tensors.safetensors'),
    )
  ).tensors;

test('code books are bit-equal', async () => {
  const tensors = await golden();
  assert.deepEqual(nf4Codes, await readTensor(tensors.get('nf4.code')!));
  const codes = dynamicCodes();
  assert.equal(codes.length, 256);
  assert.equal(codes.filter((code) => code < 0).length, 127);
  assert.equal(codes[127], 0);
  assert.equal(codes[0], Math.fround(-0.99296875));
  assert.deepEqual(codes, await readTensor(tensors.get('dynamic.signed')!));
});

test('packed bytes, sizes and values are the reference’s', async () => {
  const tensors = await golden();
  const weight = await readTensor(tensors.get('double.weight')!);
  const quantised = quantizeNf4(weight);
  assert.deepEqual(quantised.absmax, await readTensor(tensors.get('double.nf4.absmax')!));
  assert.deepEqual(quantised.packed, new Uint8Array(await readRaw(tensors.get('double.nf4.packed')!)));
  assert.deepEqual(dequantizeNf4(quantised), await readTensor(tensors.get('double.nf4.dequantised')!));
  const sizes = quantizeSizes(quantised.absmax);
  assert.deepEqual(
    sizes.codes,
    new Uint8Array(await readRaw(tensors.get('double.nf4.double.absmax_codes')!)),
  );
  const back = await readTensor(tensors.get('double.nf4.double.absmax_back')!);
  for (const [i, value] of dequantizeSizes(sizes).entries())
    assert.ok(Math.abs(value - back[i]!) <= 1e-7 * back[i]!);
});

test('the first value lies in the high nibble; zero blocks are code 7; odd counts pad', () => {
  const { packed, absmax } = quantizeNf4(Float32Array.of(1, -1, 0), 32);
  assert.deepEqual([...packed], [0xf0, 0x77]);
  assert.deepEqual([...absmax], [1]);
  assert.deepEqual([...quantizeNf4(new Float32Array(4), 32).packed], [0x77, 0x77]);
  assert.throws(() => quantizeNf4(new Float32Array(4), 48), /power of two/);
});

test('quantising what was dequantised changes nothing; normal data loses 9.19 %', () => {
  const random = new Random(1);
  const values = Float32Array.from({ length: 1 << 18 }, () => random.normal());
  const once = dequantizeNf4(quantizeNf4(values));
  assert.deepEqual(dequantizeNf4(quantizeNf4(once)), once);
  let [off, size] = [0, 0];
  values.forEach((value, i) => {
    off += (value - once[i]!) ** 2;
    size += value ** 2;
  });
  assert.ok(Math.abs(Math.sqrt(off / size) - 0.09189) < 3e-4, `relative error ${Math.sqrt(off / size)}`);
});
