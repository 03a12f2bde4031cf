import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../../src/engine/checkpoint/halfFloat';

const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i);

/** The value of a binary float by its definition, in float64. */
function byDefinition(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> fractionBits) & ((1 << exponentBits) - 1);
  const fraction = bits & ((1 << fractionBits) - 1);
  const bias = (1 << (exponentBits - 1)) - 1;
  if (exponent === (1 << exponentBits) - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - fractionBits);
  return sign * (1 + fraction * 2 ** -fractionBits) * 2 ** (exponent - bias);
}

const formats = [
  { name: 'float16', read: f16ToF32, write: f32ToF16, exponent: 5, fraction: 10 },
  { name: 'bfloat16', read: bf16ToF32, write: f32ToBf16, exponent: 8, fraction: 7 },
];

for (const { name, read, write, exponent, fraction } of formats) {
  test(`every ${name} has the value of its definition and comes back`, () => {
    const floats = read(all);
    for (const bits of all) {
      const expected = byDefinition(bits, exponent, fraction);
      assert.ok(Object.is(floats[bits], expected), `${bits}: ${floats[bits]} is not ${expected}`);
    }
    const back = write(floats);
    for (const bits of all) {
      if (Number.isNaN(floats[bits])) assert.ok(Number.isNaN(read(Uint16Array.of(back[bits]!))[0]));
      else assert.equal(back[bits], bits);
    }
  });

  test(`float32 goes to the nearest ${name}, ties to even`, () => {
    const infinity = ((1 << exponent) - 1) << fraction;
    const floats = read(all);
    // Between each value and the next: just below the middle, the middle, just above.
    const inputs: number[] = [];
    const expected: number[] = [];
    for (let bits = 0; bits < infinity - 1; bits++) {
      for (const sign of [0, 0x8000]) {
        const [low, high] = [floats[bits]!, floats[bits + 1]!];
        const middle = Math.fround((low + high) / 2);
        const step = new Float32Array([middle]);
        const view = new Uint32Array(step.buffer);
        view[0]! -= 1;
        const below = step[0]!;
        view[0]! += 2;
        const above = step[0]!;
        const s = sign ? -1 : 1;
        inputs.push(s * below, s * middle, s * above);
        expected.push(sign | bits, sign | (bits & 1 ? bits + 1 : bits), sign | (bits + 1));
      }
    }
    const found = write(Float32Array.from(inputs));
    found.forEach((bits, i) => {
      if (bits !== expected[i]) assert.fail(`${inputs[i]} became ${bits}, not ${expected[i]}`);
    });
  });

  test(`${name} overflow, infinities and NaN`, () => {
    const infinity = ((1 << exponent) - 1) << fraction;
    const largest = read(Uint16Array.of(infinity - 1))[0]!;
    const beyond = Math.fround(largest * (1 + 2 ** -(fraction + 2)));
    assert.deepEqual(
      [
        ...write(
          Float32Array.of(largest, beyond, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3.4e38, -0),
        ),
      ],
      [infinity - 1, infinity - 1, infinity, infinity | 0x8000, infinity, 0x8000],
    );
    // A NaN whose only fraction bit lies below what is kept.
    const thin = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    for (const bits of write(thin)) assert.ok(Number.isNaN(read(Uint16Array.of(bits))[0]));
  });
}

test('float16 rounds to infinity from 65520 on', () => {
  assert.deepEqual([...f32ToF16(Float32Array.of(65519.996, 65520, 1e30))], [0x7bff, 0x7c00, 0x7c00]);
});
