// Tensors of the CPU device: round trips, mapped files, lifetimes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { DType } from '../../../src/engine/dtype';
import { dtypes } from '../../../src/engine/dtype';
import type { HostArray, Runtime } from '../../../src/engine/session';
import { onCpu, sessionError } from './cpuRuntime';
import { binaryModel, tinyModel } from './tinyModel';

const samples: Record<DType, HostArray> = {
  float32: Float32Array.of(1.5, -0, Number.NaN, 3e38),
  float64: Float64Array.of(1 / 3, -0, Number.NaN, 1e300),
  float16: Uint16Array.of(0x3c00, 0x7bff, 0x8000, 0x7e00),
  bfloat16: Uint16Array.of(0x3f80, 0x7f7f, 0x8000, 0x7fc0),
  int64: BigInt64Array.of(0n, -1n, 9007199254740993n, -(2n ** 63n)),
  int32: Int32Array.of(0, -1, 2147483647, -2147483648),
  int8: Int8Array.of(0, -1, 127, -128),
  uint8: Uint8Array.of(0, 1, 127, 255),
  bool: Uint8Array.of(0, 1, 1, 0),
};

const bitsOf = (array: HostArray) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex');

test('every element type goes to the device, through a model and back with its bits', async () => {
  await onCpu(async (runtime) => {
    for (const dtype of Object.keys(dtypes) as DType[]) {
      const x = runtime.fromHost(dtype, [2, 2], samples[dtype]);
      assert.equal(bitsOf(runtime.read(x)), bitsOf(samples[dtype]), dtype);
      const y = runtime.allocate(dtype, [4]);
      const session = await runtime.createSession(
        tinyModel({
          nodes: [
            { op: 'Flatten', inputs: ['x'], outputs: ['flat'], ints: { axis: 0 } },
            { op: 'Squeeze', inputs: ['flat', 'axes'], outputs: ['y'] },
          ],
          inputs: [{ name: 'x', dtype, shape: [2, 2] }],
          outputs: [{ name: 'y', dtype, shape: [4] }],
          constants: [{ name: 'axes', dtype: 'int64', shape: [1], data: BigInt64Array.of(0n) }],
        }),
      );
      assert.deepEqual(session.inputs, [{ name: 'x', dtype, shape: [2, 2] }]);
      session.bindInput('x', x);
      session.bindOutput('y', y);
      await session.run();
      const result = runtime.read(y);
      assert.equal(bitsOf(result), bitsOf(samples[dtype]), dtype);
      assert.equal(result.constructor, samples[dtype].constructor, dtype);
    }
  });
});

test('new tensors are zeros; scalars and empty tensors work', async () => {
  await onCpu(async (runtime) => {
    assert.deepEqual(runtime.read(runtime.allocate('int32', [3])), Int32Array.of(0, 0, 0));
    const scalar = runtime.fromHost('float32', [], Float32Array.of(2));
    assert.deepEqual(runtime.read(scalar), Float32Array.of(2));
    const x = runtime.allocate('float32', [0, 3]);
    const y = runtime.allocate('float32', [0, 3]);
    assert.equal(runtime.view(x).length, 0);
    const session = await runtime.createSession(binaryModel('Add', ['n', 3]));
    assert.deepEqual(session.inputs[0]?.shape, ['n', 3]);
    session.bindInput('x', x);
    session.bindInput('w', x);
    session.bindOutput('y', y);
    await session.run();
    assert.equal(runtime.read(y).length, 0);
  });
});

test('a view is the memory itself and outlives the tensor and the runtime', async () => {
  let view: HostArray | undefined;
  await onCpu((runtime) => {
    const tensor = runtime.fromHost('float32', [2], Float32Array.of(1, 2));
    view = runtime.view(tensor);
    view[0] = 5;
    assert.deepEqual(runtime.read(tensor), Float32Array.of(5, 2));
    runtime.write(tensor, Float32Array.of(7, 8));
    assert.deepEqual([...(view as Float32Array)], [7, 8]);
    tensor.release();
  });
  assert.deepEqual([...(view as Float32Array)], [7, 8]);
});

test('the garbage collector frees viewed memory, and takes neither the library nor live views', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const viewedTensor = (runtime: Runtime) => {
    const tensor = runtime.fromHost('int32', [2], Int32Array.of(1, 2));
    assert.equal(runtime.view(tensor)[1], 2);
    return tensor;
  };
  await onCpu(async (runtime) => {
    const kept = runtime.view(viewedTensor(runtime));
    const tensor = viewedTensor(runtime);
    tensor.release();
    assert.equal(runtime.memory().tensorBytes, 16);
    for (let turn = 0; turn < 100 && runtime.memory().tensorBytes > 8; turn++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(runtime.memory().tensorBytes, 8);
    assert.deepEqual([...kept], [1, 2]);
  });
});

test('read fills the array that it is given, also inside a larger buffer', async () => {
  await onCpu((runtime) => {
    const tensor = runtime.fromHost('float32', [2], Float32Array.of(3, 4));
    const whole = new Float32Array(4);
    assert.equal(runtime.read(tensor, whole.subarray(1, 3)).length, 2);
    assert.deepEqual([...whole], [0, 3, 4, 0]);
    assert.throws(() => runtime.read(tensor, whole), sessionError('size-mismatch', /8 bytes.*16/));
  });
});

test('a tensor over a file at an odd offset computes right, without a copy of the file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'session-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const elements = 4 << 20;
  const weights = Float32Array.from({ length: elements }, (_, i) => i % 1000);
  const offset = 4099;
  const path = join(folder, 'weights.bin');
  writeFileSync(path, Buffer.concat([Buffer.alloc(offset), Buffer.from(weights.buffer)]));
  await onCpu(async (runtime) => {
    const file = runtime.mapFile(path);
    assert.equal(runtime.memory().mappedBytes, offset + elements * 4);
    const w = runtime.mapped(file, offset, 'float32', [elements]);
    const x = runtime.fromHost('float32', [elements], new Float32Array(elements).fill(0.5));
    const session = await runtime.createSession(binaryModel('Mul', ['n']));
    session.bindInput('x', x);
    session.bindInput('w', w);
    session.bindOutput('y', x);
    await session.run();
    const y = runtime.view(x);
    assert.deepEqual([y[0], y[1], y[999], y[elements - 1]], [0, 0.5, 499.5, ((elements - 1) % 1000) / 2]);
    assert.deepEqual(runtime.read(w), weights);
    // Our own tensor is counted; the mapped one is not, and the run needed no activation memory for it.
    assert.equal(runtime.memory().tensorBytes, elements * 4);
    assert.ok(runtime.memory().peakBytes < 1 << 20);
    assert.equal(w.writable, false);
    assert.throws(() => runtime.write(w, weights), sessionError('tensor-read-only'));
    assert.throws(() => runtime.view(w), sessionError('view-unavailable'));
    assert.throws(() => session.bindOutput('y', w), sessionError('tensor-read-only'));

    // The mapping lives as long as a tensor over it.
    file.release();
    assert.throws(() => runtime.mapped(file, 0, 'float32', [1]), sessionError('released'));
    session.release();
    assert.equal((runtime.read(w)[999] as number) | 0, 999);
    w.release();
    assert.equal(runtime.memory().mappedBytes, 0);
  });
});

test('a file that is missing, a folder, empty or too short is refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'session-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'short.bin');
  writeFileSync(path, Buffer.alloc(10));
  await onCpu((runtime) => {
    assert.throws(() => runtime.mapFile(join(folder, 'absent')), sessionError('file-unmappable', /absent/));
    assert.throws(() => runtime.mapFile(folder), sessionError('file-unmappable'));
    const file = runtime.mapFile(path);
    const outside = sessionError('mapping-out-of-range', /short\.bin has 10 bytes; 8 bytes at offset/);
    for (const offset of [3, -1, 1.5, Number.NaN]) {
      assert.throws(() => runtime.mapped(file, offset, 'float32', [2]), outside);
    }
    truncateSync(path, 0);
    assert.throws(
      () => runtime.mapped(runtime.mapFile(path), 0, 'uint8', [1]),
      sessionError('mapping-out-of-range'),
    );
    assert.equal(runtime.read(runtime.mapped(runtime.mapFile(path), 0, 'uint8', [0])).length, 0);
  });
});

test('impossible shapes, wrong sizes and released tensors are refused', async () => {
  await onCpu((runtime) => {
    for (const shape of [[-1], [1.5], [2 ** 40, 2 ** 40], [Number.NaN]]) {
      assert.throws(() => runtime.allocate('float32', shape), sessionError('shape-invalid'));
    }
    assert.throws(() => runtime.allocate('float32', [2 ** 45]), sessionError('out-of-memory'));
    assert.throws(
      () => runtime.fromHost('float32', [3], new Float32Array(2)),
      sessionError('size-mismatch', /12 bytes.*8/),
    );
    const tensor = runtime.allocate('float32', [3]);
    assert.equal(runtime.memory().tensorBytes, 12);
    tensor.release();
    assert.equal(runtime.memory().tensorBytes, 0);
    assert.equal(tensor.released, true);
    for (const use of [() => runtime.read(tensor), () => runtime.view(tensor), () => tensor.release()]) {
      assert.throws(use, sessionError('released'));
    }
  });
});
