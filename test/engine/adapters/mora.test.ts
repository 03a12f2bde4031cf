// MoRA's operators are those of the formulas (test/reference/formulas.py): outputs, gradients, ΔW and the LoRA form, at sizes
// that divide nothing, for every type.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { mora, moraSide } from '../../../src/engine/adapters/mora';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site, SiteContext } from '../../../src/engine/adapters/variant';
import { backward } from '../../../src/engine/autodiff/backward';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { lower } from '../../../src/engine/graph/passes/lower';
import { openRuntime } from '../../../src/engine/session';

const folder = join('test', 'goldens', 'methods', 'formulas', 'mora');
const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

interface Facts {
  in: number;
  out: number;
  r: number;
  rHat: number;
}
const facts = JSON.parse(readFileSync(join(folder, 'facts.json'), 'utf8')) as Record<string, Facts>;

for (const [name, { in: inFeatures, out: outFeatures, r, rHat }] of Object.entries(facts)) {
  test(`${name}: ${outFeatures} × ${inFeatures}, r ${r}`, async () => {
    const type = Number(name.at(-1));
    const settings = { settings: { mora_type: type } } as unknown as AdapterSettings;
    const site = { inFeatures, outFeatures, r, path: 'p', module: { kind: 'linear' } } as Site;
    assert.equal(moraSide(site, type), rHat);
    const { tensors } = await readSafetensors(join(folder, 'tensors.safetensors'));
    const golden = (part: string): Promise<Float32Array> => readTensor(tensors.get(part)!);
    const own = (part: string): Promise<Float32Array> => golden(`${name}.${part}`);
    const size = name.split('.')[0]!;
    const [x, delta, m] = await Promise.all([golden(`${size}.x`), golden(`${size}.delta`), own('m')]);
    const rows = x.length / inFeatures;

    const b = new GraphBuilder('mora');
    const [input, matrix, seed] = [
      b.input('x', 'float32', [rows, inFeatures]),
      b.input('m', 'float32', [rHat, rHat]),
      b.input('delta', 'float32', [rows, outFeatures]),
    ];
    const context = {
      b,
      site,
      parameter: () => matrix,
      base: () => b.fill([rows, outFeatures], 0),
      dropout: (value: typeof input) => ({ value, keepScale: 1 }),
    } as unknown as SiteContext;
    const y = mora.apply(context, input, settings);
    const [gradM, gradX] = backward(b, [{ value: y, gradient: seed }], [matrix, input]);
    const weight = mora.mergedWeight!(
      { b, site, weight: b.fill([outFeatures, inFeatures], 0), parameter: () => matrix },
      settings,
    );
    const outputs = [
      { name: 'y', value: y },
      { name: 'grad_m', value: gradM! },
      { name: 'grad_x', value: gradX! },
      ...(type === 6 ? [{ name: 'delta_weight', value: weight }] : []),
    ];
    const program = await Program.open(runtime, lower(b.finish(outputs)), new Map());
    program.feed('x', x);
    program.feed('m', m);
    program.feed('delta', delta);
    await program.run();
    for (const output of outputs)
      close(program.read(output.name) as Float32Array, await own(output.name), output.name);
    program.release();

    assert.equal(mora.hasLoraForm!(settings), type !== 6);
    if (type === 6) return;
    const form = mora.loraForm!(site, () => m, settings);
    const product = Float32Array.from({ length: outFeatures * inFeatures }, (_, i) => {
      const [o, k] = [Math.floor(i / inFeatures), i % inFeatures];
      let sum = 0;
      for (let j = 0; j < rHat; j++) sum += form.b[o * rHat + j]! * form.a[j * inFeatures + k]!;
      return sum;
    });
    close(product, await own('delta_weight'), 'ΔW of the LoRA form');
    assert.deepEqual(form.a, await own('compress'));
  });
}

function close(found: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(found.length, expected.length, what);
  const scale = Math.max(...expected.map(Math.abs));
  found.forEach((value, i) => {
    assert.ok(
      Math.abs(value - expected[i]!) <= 1e-5 * scale,
      `${what}[${i}] is ${value}, not ${expected[i]}`,
    );
  });
}
