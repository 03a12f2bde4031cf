import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fingerprint } from '../../../src/engine/checkpoint/fingerprint';
import { findNonFinite, requireFinite, scanFinite } from '../../../src/engine/checkpoint/finite';
import {
  readRaw,
  readSafetensors,
  readTensor,
  writeSafetensors,
} from '../../../src/engine/checkpoint/safetensors';
import { CheckpointError } from '../../../src/engine/errors';
import { fails, rawSafetensors, scratch, sharedData, tree } from '../files/scratch';

test('tensors of every float type come back as float32', async (t) => {
  const path = join(await scratch(t), 'a.safetensors');
  const data = Float32Array.of(0, 1, -2.5, 65504, 2 ** -24, 1 / 3);
  await writeSafetensors(
    path,
    (['F64', 'F32', 'F16', 'BF16'] as const).map((dtype) => ({
      name: `of.${dtype}`,
      dtype,
      shape: [2, 3],
      data,
    })),
    { format: 'pt', note: 'ü' },
  );
  const file = await readSafetensors(path);
  assert.deepEqual(file.metadata, { format: 'pt', note: 'ü' });
  const read = async (name: string) => [...(await readTensor(file.tensors.get(name)!))];
  assert.deepEqual(await read('of.F64'), [...data]);
  assert.deepEqual(await read('of.F32'), [...data]);
  assert.deepEqual((await read('of.F16')).slice(0, 5), [...data].slice(0, 5));
  assert.equal((await read('of.F16'))[5], 0.333251953125);
  assert.deepEqual((await read('of.BF16')).slice(0, 3), [0, 1, -2.5]);
  const ref = file.tensors.get('of.F32')!;
  assert.equal((ref.offset - 8) % 8, 0, 'the data begins on a multiple of 8');
  assert.deepEqual(ref.shape, [2, 3]);
  assert.deepEqual(new Float32Array((await readRaw(ref)).buffer), data);
});

test('other element types are written as their bytes; data may come late; empty and scalar tensors are legal', async (t) => {
  const path = join(await scratch(t), 'a.safetensors');
  await writeSafetensors(path, [
    { name: 'ids', dtype: 'I64', shape: [2], data: BigInt64Array.of(1n, -1n) },
    { name: 'mask', dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
    { name: 'none', dtype: 'F32', shape: [0, 2048], data: new Float32Array(0) },
    { name: 'scalar', dtype: 'F32', shape: [], data: async () => Float32Array.of(7) },
    { name: '7', dtype: 'BF16', shape: [1], data: Uint8Array.of(0x80, 0x3f) },
  ]);
  const { tensors } = await readSafetensors(path);
  assert.deepEqual([...tensors.keys()].sort(), ['7', 'ids', 'mask', 'none', 'scalar']);
  assert.deepEqual(new BigInt64Array((await readRaw(tensors.get('ids')!)).buffer), BigInt64Array.of(1n, -1n));
  assert.deepEqual([...(await readTensor(tensors.get('scalar')!))], [7]);
  assert.deepEqual([...(await readTensor(tensors.get('none')!))], []);
  assert.deepEqual([...(await readTensor(tensors.get('7')!))], [1]);
});

test('a header whose length begins like a pickle is read', async (t) => {
  // 640 = 0x0280: the file begins with the bytes 80 02.
  const json = JSON.stringify({ a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } });
  const folder = await scratch(t, { 'a.safetensors': rawSafetensors(json.padEnd(640), 1) });
  assert.ok((await readSafetensors(join(folder, 'a.safetensors'))).tensors.has('a'));
});

test('a failing source leaves no file', async (t) => {
  const folder = await scratch(t);
  const data = async (): Promise<Float32Array> => {
    throw new Error('no data');
  };
  await assert.rejects(
    writeSafetensors(join(folder, 'a.safetensors'), [{ name: 'a', dtype: 'F32', shape: [1], data }]),
    /no data/,
  );
  const short = { name: 'a', dtype: 'F32', shape: [2], data: new Float32Array(1) } as const;
  await assert.rejects(writeSafetensors(join(folder, 'a.safetensors'), [short]), /has 4 bytes, not 8/);
  assert.deepEqual(await tree(folder), []);
});

test('a file of the reference implementation is written again byte for byte', async (t) => {
  const adapters = sharedData('adapters');
  if (!adapters) return t.skip('no shared data');
  const folder = await scratch(t);
  for (const name of ['peft-gpt2', 'peft-trl']) {
    const source = join(adapters, name, 'adapter_model.safetensors');
    const { tensors, metadata } = await readSafetensors(source);
    const copy = join(folder, name);
    await writeSafetensors(
      copy,
      [...tensors.values()].reverse().map((ref) => ({ ...ref, data: () => readTensor(ref) })),
      metadata,
    );
    assert.ok((await readFile(copy)).equals(await readFile(source)), name);
  }
});

test('NaN and infinities are found in every float type, with count and place', async (t) => {
  const path = join(await scratch(t), 'a.safetensors');
  // Longer than one piece, so that places are counted across pieces.
  const large = new Float32Array(5_000_000);
  large[4_999_998] = Number.NaN;
  large[4_999_999] = Number.NEGATIVE_INFINITY;
  const small = Float32Array.of(1, 3e38, Number.NaN, Number.POSITIVE_INFINITY);
  await writeSafetensors(path, [
    { name: 'large', dtype: 'F32', shape: [5_000_000], data: large },
    { name: 'large.f64', dtype: 'F64', shape: [5_000_000], data: large },
    { name: 'bf16', dtype: 'BF16', shape: [4], data: small },
    { name: 'f16', dtype: 'F16', shape: [4], data: Float32Array.of(65504, -1, Number.NaN, 5) },
    { name: 'fine', dtype: 'F32', shape: [2], data: Float32Array.of(3.4e38, -3.4e38) },
    { name: 'ids', dtype: 'I64', shape: [1], data: BigInt64Array.of(-1n) },
  ]);
  const { tensors } = await readSafetensors(path);
  const found = await scanFinite(tensors.values());
  const byName = Object.fromEntries(
    found.map(({ name, nan, infinite, firstIndex }) => [name, [nan, infinite, firstIndex]]),
  );
  assert.deepEqual(byName, {
    large: [1, 1, 4_999_998],
    'large.f64': [1, 1, 4_999_998],
    bf16: [1, 1, 2],
    f16: [1, 0, 2],
  });
  await fails(() => requireFinite(tensors.values()), {
    class: CheckpointError,
    code: 'checkpoint-not-finite',
    says: ['"f16"', '"bf16"', 'index 4999998', path],
  });
  assert.equal(findNonFinite(Float32Array.of(1, 2)), undefined);
  assert.deepEqual(findNonFinite(small), { nan: 1, infinite: 1, firstIndex: 2 });
});

test('the fingerprint follows names, types, shapes and values, not the division into files', async (t) => {
  const folder = await scratch(t);
  const ramp = Float32Array.from({ length: 4096 }, (_, i) => i);
  const tensors = [
    { name: 'a', dtype: 'F32', shape: [64, 64], data: ramp },
    { name: 'b', dtype: 'F32', shape: [4], data: Float32Array.of(1, 2, 3, 4) },
  ] as const;
  const of = async (...parts: (readonly Parameters<typeof writeSafetensors>[1][number][])[]) => {
    const all = new Map();
    for (const [i, part] of parts.entries()) {
      const path = join(folder, `${i}.safetensors`);
      await writeSafetensors(path, part);
      for (const [name, ref] of (await readSafetensors(path)).tensors) all.set(name, ref);
    }
    return fingerprint(all);
  };
  const whole = await of(tensors);
  // The value of version 1; a change of it orphans every adapter that carries one.
  assert.equal(whole, 'sha256:b704bfbf8f3b8af012a33cc1a04e5cd0b5682e9e56cd696a9d328f5b9b29765a');
  assert.equal(await of([tensors[1]], [tensors[0]]), whole);
  const changedAt = (at: number) => {
    const data = ramp.slice();
    data[at]! += 1;
    return of([{ ...tensors[0], data }, tensors[1]]);
  };
  const others = [
    await changedAt(0),
    await changedAt(4095),
    await of([{ ...tensors[0], name: 'c' }, tensors[1]]),
    await of([{ ...tensors[0], shape: [32, 128] }, tensors[1]]),
    await of([{ ...tensors[0], dtype: 'BF16' }, tensors[1]]),
    await of([tensors[0]]),
  ];
  assert.equal(new Set([whole, ...others]).size, 7);
});
