// DoRA with dropout against the formula (test/reference/formulas.py): the base keeps x, what the magnitude changes takes Drop(x),
// and the norm takes no gradient. Both layouts of the weight.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { dora } from '../../../src/engine/adapters/dora';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site, SiteContext } from '../../../src/engine/adapters/variant';
import { backward } from '../../../src/engine/autodiff/backward';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Value } from '../../../src/engine/graph/graph';
import { lower } from '../../../src/engine/graph/passes/lower';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

for (const kind of ['linear', 'conv1d'] as const) {
  test(`${kind}: output and gradients with dropout`, async () => {
    const { tensors } = await readSafetensors(
      join('test', 'goldens', 'methods', 'formulas', 'dora-dropout', 'tensors.safetensors'),
    );
    const golden = (name: string): Promise<Float32Array> => readTensor(tensors.get(name)!);
    const [outFeatures, inFeatures] = tensors.get('weight')!.shape as [number, number];
    const r = tensors.get('a')!.shape[0]!;
    const site = { path: 'p', module: { kind }, inFeatures, outFeatures, r, alpha: 2 * r } as Site;
    const b = new GraphBuilder('dora');
    const input = (name: string, shape = tensors.get(name)!.shape): Value => b.input(name, 'float32', shape);
    const stored = kind === 'linear' ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
    const [x, mask, delta, bias, weight] = [
      input('x'),
      input('mask'),
      input('delta'),
      input('bias'),
      input('weight', stored),
    ];
    const parameters = new Map<string, Value>([
      ['lora_A.weight', input('a')],
      ['lora_B.weight', input('b')],
      ['lora_magnitude_vector', input('m')],
    ]);
    const product = (value: Value): Value => b.gemm(value, weight, { transB: kind === 'linear' });
    const context = {
      b,
      site,
      parameter: (name: string) => parameters.get(name)!,
      weight: () => weight,
      bias: () => bias,
      product,
      base: (value: Value) => b.add(product(value), bias),
      dropout: (value: Value) => ({ value: b.mul(value, mask), keepScale: 1 / 0.75 }),
    } as unknown as SiteContext;
    const y = dora.apply(context, x, { use_rslora: false, settings: {} } as unknown as AdapterSettings);
    const gradients = backward(b, [{ value: y, gradient: delta }], [x, ...parameters.values()]);
    const names = ['x', 'a', 'b', 'm'];
    const outputs = [
      { name: 'y', value: y },
      ...names.map((name, i) => ({ name: `grad_${name}`, value: gradients[i]! })),
    ];
    const program = await Program.open(runtime, lower(b.finish(outputs)), new Map());
    for (const name of ['x', 'mask', 'delta', 'bias', 'a', 'b', 'm']) program.feed(name, await golden(name));
    const w = await golden('weight');
    program.feed(
      'weight',
      kind === 'linear'
        ? w
        : w.map((_, i) => w[(i % outFeatures) * inFeatures + Math.floor(i / outFeatures)]!),
    );
    await program.run();
    for (const { name } of outputs) {
      const want = await golden(name);
      const scale = Math.max(...want.map(Math.abs));
      (program.read(name) as Float32Array).forEach((value, i) => {
        assert.ok(Math.abs(value - want[i]!) <= 1e-5 * scale, `${name}[${i}] is ${value}, not ${want[i]}`);
      });
    }
    program.release();
  });
}
