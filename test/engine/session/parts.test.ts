// Tensors inside tensors, and tensors whose pages are a file's.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratch } from '../files/scratch';
import { onCpu, sessionError } from './cpuRuntime';
import { binaryModel } from './tinyModel';

test('a part is the memory of its whole, keeps it alive, and can be written by a program', async () => {
  await onCpu(async (runtime) => {
    assert.ok(runtime.addressable);
    const whole = runtime.fromHost(
      'float32',
      [10],
      Float32Array.from({ length: 10 }, (_, i) => i),
    );
    const before = runtime.memory().tensorBytes;
    const part = runtime.part(whole, 3, [2, 2]);
    assert.equal(runtime.memory().tensorBytes, before, 'a part takes no memory');
    assert.deepEqual(runtime.read(part), Float32Array.of(3, 4, 5, 6));
    const session = await runtime.createSession(binaryModel('Add', [2, 2]));
    session.bindInput('x', part);
    session.bindInput('w', part);
    session.bindOutput('y', part);
    await session.run();
    assert.deepEqual(runtime.read(whole), Float32Array.of(0, 1, 2, 6, 8, 10, 12, 7, 8, 9));
    whole.release();
    assert.deepEqual(runtime.read(part), Float32Array.of(6, 8, 10, 12));
    session.release();
    part.release();
    assert.equal(runtime.memory().tensorBytes, before - 40);
    const other = runtime.allocate('uint8', [5]);
    for (const [from, length] of [
      [4, 2],
      [-1, 1],
      [0.5, 1],
    ] as const)
      assert.throws(() => runtime.part(other, from, [length]), /inside its whole/);
  });
});

test('a tensor in a file starts at zero, leaves no name behind, and is none of the memory of tensors', async (t) => {
  const folder = await scratch(t);
  await onCpu(async (runtime) => {
    const tensor = runtime.inFile(folder, 'float32', [3000]);
    assert.equal(runtime.memory().tensorBytes, 0);
    assert.ok((runtime.read(tensor) as Float32Array).every((value) => value === 0));
    const values = Float32Array.from({ length: 3000 }, (_, i) => i);
    runtime.write(tensor, values);
    assert.deepEqual(runtime.read(tensor), values);
    if (process.platform !== 'win32') assert.deepEqual(readdirSync(folder), []);
    tensor.release();
    assert.deepEqual(readdirSync(folder), []);
    assert.throws(
      () => runtime.inFile(join(folder, 'nowhere'), 'uint8', [4]),
      sessionError('file-unmappable', /nowhere/),
    );
  });
});
