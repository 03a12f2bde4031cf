// VeRA's random matrices are PyTorch's: from the seed alone, in the order and with the rounding that PEFT stores.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { MersenneTwister } from '../../../src/engine/adapters/mersenneTwister';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { modelFromConfig } from '../../../src/engine/models/registry';

const goldens = join('test', 'goldens');

test('the generator gives the reference output of MT19937', () => {
  // The 10000th number of seed 5489 is given in the C++ standard, [rand.predef].
  const random = new MersenneTwister(5489);
  for (let i = 0; i < 9999; i++) random.next();
  assert.equal(random.next(), 4123659995);
});

for (const base of ['llama', 'gpt2']) {
  test(`${base}: projections that a file lacks are those that its twin holds`, async () => {
    const folder = join(goldens, 'models', base === 'llama' ? 'llama-plain' : base);
    const model = modelFromConfig((await openCheckpoint(folder)).config);
    const load = (name: string) =>
      loadAdapter(join(goldens, 'methods', 'training', name, 'final_adapter'), model);
    const [stored, made] = [await load(`${base}-vera`), await load(`${base}-vera-regenerated`)];
    for (const name of ['base_model.vera_A', 'base_model.vera_B'])
      assert.deepEqual(made.values.get(name), stored.values.get(name), `${name} is bit-equal`);
    assert.equal(
      made.plan.tensors.find((t) => t.name === 'base_model.vera_A')!.unstored,
      true,
      'the file does not hold it',
    );
  });
}
