// The switch that turns a fallback into an error, without a GPU.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fallbackVariable, refuseFallback } from '../../../src/engine/execution/placement';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Graph } from '../../../src/engine/graph/graph';
import { sessionError } from '../session/cpuRuntime';

function logarithm(dtype: 'float32' | 'bfloat16'): Graph {
  const b = new GraphBuilder('sample');
  const x = b.input('x', dtype, [2]);
  return b.scope('layer.0', () => b.finish([{ name: 'y', value: b.op('Log', [x], {}) }]));
}

test('CUDA refuses an operator that would run on the CPU, and names it', () => {
  assert.throws(
    () => refuseFallback('cuda', logarithm('bfloat16'), {}),
    sessionError(
      'operator-unplaced',
      /1 of 1 operators of sample .*: Log in layer\.0: .*input 0 is bfloat16/,
    ),
  );
  assert.equal(refuseFallback('cuda', logarithm('float32'), {}), true);
});

test('other devices, and a person who allows it, fall back', () => {
  assert.equal(refuseFallback('cpu', logarithm('bfloat16'), {}), false);
  assert.equal(refuseFallback('webgpu', logarithm('bfloat16'), {}), false);
  assert.equal(refuseFallback('cuda', logarithm('bfloat16'), { [fallbackVariable]: '1' }), false);
});
