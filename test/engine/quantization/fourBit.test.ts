// Four bits and double quantisation against bitsandbytes' bytes (goldens: test/goldens/fourbit/codes) and by their invariants.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRaw, readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { codeBooks, dynamicCodes, type QuantType } from '../../../src/engine/quantization/codes';
import { dequantizeFourBit, quantizeFourBit } from '../../../src/engine/quantization/fourBit';
import { fromParts, packWeight, partData, unpackWeight } from '../../../src/engine/quantization/packedWeight';
import { dequantizeSizes, quantizeSizes } from '../../../src/engine/quantization/sizes';
import { Random } from '../../../src/engine/random';

const golden = async () =>
  (await readSafetensors(join('test', 'goldens', 'fourbit', 'codes.safetensors'))).tensors;

test('code books are bit-equal', async () => {
  const tensors = await golden();
  for (const kind of ['nf4', 'fp4'] as const)
    assert.deepEqual(codeBooks[kind].values, await readTensor(tensors.get(`code.${kind}`)!));
  assert.deepEqual(dynamicCodes, await readTensor(tensors.get('code.dynamic')!));
  assert.equal(dynamicCodes.filter((code) => code < 0).length, 127);
  assert.equal(dynamicCodes[127], 0);
  assert.equal(dynamicCodes[0], Math.fround(-0.99296875));
});

for (const name of ['whole', 'short', 'odd', 'large']) {
  for (const kind of ['nf4', 'fp4'] as const) {
    for (const block of [32, 64, 4096]) {
      test(`${name}, ${kind}, blocks of ${block}: packed bytes, sizes and values are bitsandbytes'`, async () => {
        const tensors = await golden();
        const key = `${name}.${kind}.${block}`;
        const quantised = quantizeFourBit(await readTensor(tensors.get(`${name}.values`)!), kind, block);
        assert.deepEqual(quantised.absmax, await readTensor(tensors.get(`${key}.absmax`)!));
        assert.deepEqual(quantised.packed, new Uint8Array(await readRaw(tensors.get(`${key}.packed`)!)));
        const back = await readTensor(tensors.get(`${key}.back`)!);
        // Not deepEqual: −0 and 0 are one value.
        dequantizeFourBit(quantised).forEach((value, i) => {
          assert.ok(value === back[i], `value ${i} is ${value}, bitsandbytes' ${back[i]}`);
        });
      });
    }
  }
}

test("double quantisation is bitsandbytes': codes, sizes and what they stand for", async () => {
  const tensors = await golden();
  const absmax = await readTensor(tensors.get('large.nf4.64.absmax')!);
  const sizes = quantizeSizes(absmax);
  const offset = (await readTensor(tensors.get('nested.offset')!))[0]!;
  // A mean in another order of summation.
  assert.ok(Math.abs(sizes.offset - offset) <= 2e-7 * offset);
  const codes = new Uint8Array(await readRaw(tensors.get('nested.codes')!));
  assert.deepEqual(sizes.codes, codes);
  const outer = await readTensor(tensors.get('nested.absmax')!);
  sizes.absmax.forEach((value, i) => {
    assert.ok(Math.abs(value - outer[i]!) <= 1e-6 * outer[i]!);
  });
  const back = await readTensor(tensors.get('nested.back')!);
  assert.deepEqual(dequantizeSizes({ codes, absmax: outer, offset }), back);
});

test('the first value lies in the high nibble; zero blocks are the code of zero; odd counts pad', () => {
  const { packed, absmax } = quantizeFourBit(Float32Array.of(1, -1, 0), 'nf4', 32);
  assert.deepEqual([...packed], [0xf0, 0x77]);
  assert.deepEqual([...absmax], [1]);
  assert.deepEqual([...quantizeFourBit(new Float32Array(32), 'nf4', 32).packed], Array(16).fill(0x77));
  assert.deepEqual([...quantizeFourBit(new Float32Array(32), 'fp4', 32).packed], Array(16).fill(0));
  assert.deepEqual([...quantizeFourBit(Float32Array.of(1, -1, 0), 'fp4', 32).packed], [0x3b, 0]);
  for (const size of [16, 48, 8192])
    assert.throws(() => quantizeFourBit(new Float32Array(4), 'nf4', size), /power of two/);
});

const kinds: readonly QuantType[] = ['nf4', 'fp4'];
for (const kind of kinds) {
  test(`${kind}: quantising what was dequantised changes nothing; exact codes stay`, () => {
    const random = new Random(1);
    const values = Float32Array.from({ length: 1 << 14 }, () => random.normal());
    const once = dequantizeFourBit(quantizeFourBit(values, kind, 64));
    assert.deepEqual(dequantizeFourBit(quantizeFourBit(once, kind, 64)), once);
    // A power of two, so that scaling rounds nothing.
    const exact = Float32Array.from({ length: 64 }, (_, i) => 4 * codeBooks[kind].values[i % 16]!);
    dequantizeFourBit(quantizeFourBit(exact, kind, 64)).forEach((value, i) => {
      assert.ok(value === exact[i]);
    });
  });
}

test('normal data loses 9.19 % in NF4, double quantisation next to nothing, within its bound', () => {
  const random = new Random(2);
  const form = {
    quantType: 'nf4',
    blockSize: 64,
    outFeatures: 1024,
    inFeatures: 1024,
    transposed: false,
  } as const;
  const values = Float32Array.from({ length: 1 << 20 }, () => random.normal());
  const [single, twice] = [false, true].map((doubleQuant) => packWeight(values, { ...form, doubleQuant }));
  const error = (weight: typeof single): number => {
    let [off, size] = [0, 0];
    unpackWeight(weight!).forEach((value, i) => {
      off += (value - values[i]!) ** 2;
      size += values[i]! ** 2;
    });
    return Math.sqrt(off / size);
  };
  // Of 2²⁰ numbers the error scatters by 7e-5 from seed to seed.
  assert.ok(Math.abs(error(single) - 0.09189) < 3e-4, `relative error ${error(single)}`);
  assert.ok(Math.abs(error(twice) - 0.09191) < 3e-4, `relative error ${error(twice)}`);
  const sizes = twice!.absmax;
  assert.ok(!(sizes instanceof Float32Array));
  const gap = Math.max(...dynamicCodes.slice(1).map((code, i) => code - dynamicCodes[i]!));
  const largest = Math.max(...sizes.absmax);
  dequantizeSizes(sizes).forEach((value, i) => {
    const off = Math.abs(value - (single!.absmax as Float32Array)[i]!);
    assert.ok(off <= 1.001 * ((largest * gap) / 2), `size ${i} is off by ${off}`);
  });
  assert.deepEqual(unpackWeight(fromParts(twice!, partData(twice!))), unpackWeight(twice!));
});
