// 8-bit blocks as graph operators, against bitsandbytes' tables and the nearest codes of its blocks.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRaw, readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { lower } from '../../../src/engine/graph/passes/lower';
import { decoded, encoded, padded, unpadded } from '../../../src/engine/optim/blockwise';
import { unsignedDynamicCodes } from '../../../src/engine/quantization/dynamicCodes';
import { onCpu } from '../session/cpuRuntime';

const golden = async () =>
  (
    await readSafetensors(
      join('test', 'goldens', 'methods', 'formulas', 'quantisation', 'tensors.safetensors'),
    )
  ).tensors;

test('the unsigned table has bitsandbytes’ bits', async () => {
  assert.deepEqual(unsignedDynamicCodes(), await readTensor((await golden()).get('dynamic.unsigned')!));
});

// CUDA's own form of the blocks' sizes runs on the CPU too, and gives the same bits.
for (const [kind, device] of [
  ['signed', 'cpu'],
  ['unsigned', 'cpu'],
  ['signed', 'cuda'],
  ['unsigned', 'cuda'],
] as const) {
  test(`${kind} blocks as for ${device}: the nearest codes, their sizes, and the values back`, async () => {
    const tensors = await golden();
    const values = await readTensor(tensors.get(`blockwise.${kind}.values`)!);
    const codes = await readRaw(tensors.get(`blockwise.${kind}.nearest_codes`)!);
    const count = values.length;
    const b = new GraphBuilder('blocks');
    const coded = encoded(b, padded(b, b.input('x', 'float32', [count]), [count]), kind === 'signed');
    const back = unpadded(b, decoded(b, coded, kind === 'signed'), [count]);
    const graph = lower(
      b.finish([
        { name: 'codes', value: coded.codes },
        { name: 'absmax', value: coded.absmax },
        { name: 'back', value: back },
      ]),
      device,
    );
    assert.equal(
      graph.nodes.some(({ op }) => op === 'TopK'),
      device === 'cuda',
    );
    await onCpu(async (runtime) => {
      const program = await Program.open(runtime, graph, new Map());
      program.feed('x', values);
      await program.run();
      const absmax = await readTensor(tensors.get(`blockwise.${kind}.absmax`)!);
      assert.deepEqual(program.read('absmax'), absmax);
      assert.equal(program.read('codes').length, 768, 'the last of three blocks is filled up');
      assert.deepEqual((program.read('codes') as Uint8Array).slice(0, count), codes);
      const values8 = program.read('back') as Float32Array;
      for (let i = 0; i < count; i++) {
        const size = absmax[Math.floor(i / 256)]!;
        assert.ok(Math.abs(values8[i]! - values[i]!) <= 0.0072 * size, `value ${i}`);
      }
      program.release();
    });
  });
}

test('blocks of several tensors never mix', async () => {
  const counts = [3, 256, 300];
  const b = new GraphBuilder('padding');
  const x = b.input('x', 'float32', [559]);
  const filled = padded(b, x, counts);
  const graph = lower(
    b.finish([
      { name: 'filled', value: b.scale(filled, 2) },
      { name: 'back', value: b.scale(unpadded(b, filled, counts), 3) },
    ]),
  );
  await onCpu(async (runtime) => {
    const program = await Program.open(runtime, graph, new Map());
    const values = Float32Array.from({ length: 559 }, (_, i) => i + 1);
    program.feed('x', values);
    await program.run();
    const expected = new Float32Array(1024);
    expected.set(
      values.subarray(0, 3).map((v) => 2 * v),
      0,
    );
    expected.set(
      values.subarray(3, 259).map((v) => 2 * v),
      256,
    );
    expected.set(
      values.subarray(259).map((v) => 2 * v),
      512,
    );
    assert.deepEqual(program.read('filled'), expected);
    assert.deepEqual(
      program.read('back'),
      values.map((v) => 3 * v),
    );
    program.release();
  });
});
