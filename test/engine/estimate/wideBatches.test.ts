// A wide batch reckoned from two narrower ones, against the same batch compiled.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue } from '../../../src/engine/catalogue';
import { forecast } from '../../../src/engine/estimate/forecast';
import { acrossRows } from '../../../src/engine/estimate/wideBatches';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { validateRecipe } from '../../../src/engine/recipe/validate';
import { tinyConfig } from '../train/tinyRun';

const model = modelFromConfig(tinyConfig);
const recipe = (more: string) => {
  const text = `model: .\ndataset: d.jsonl\nmax_length: 128\n${more}`;
  return validateRecipe(parseRecipe(Buffer.from(text), 'r.lora.yaml', '.'), catalogue).recipe;
};

for (const more of [
  'gradient_checkpointing: none\n',
  'gradient_checkpointing: selective\n',
  'gradient_checkpointing: full\nlora_dropout: 0.1\n',
  'adapter: none\n',
])
  test(`within 3 % of the compiled batch, parts that know no rows exact: ${more.replaceAll('\n', ' ')}`, () => {
    const settings = recipe(more);
    const compiled = (rows: number) => forecast(model, { ...settings, per_device_train_batch_size: rows });
    const whole = compiled(256);
    const reckoned = acrossRows(256, 128, compiled, 8192);
    const { activations, ...others } = reckoned.parts;
    assert.ok(
      Math.abs(activations / whole.parts.activations - 1) < 0.03,
      `${activations} for ${whole.parts.activations}`,
    );
    assert.ok(Math.abs(reckoned.totalBytes / whole.totalBytes - 1) < 0.03);
    for (const part of ['weights', 'adapter', 'gradients', 'optimizer', 'saving'] as const)
      assert.equal(others[part], whole.parts[part], part);
    assert.equal(reckoned.trainableParameters, whole.trainableParameters);
  });

test('a batch of millions of tokens is answered, and grows with its rows', () => {
  const settings = recipe('gradient_checkpointing: none\n');
  const at = (rows: number) => forecast(model, { ...settings, per_device_train_batch_size: rows }).totalBytes;
  const [wide, wider] = [at(32768), at(65536)];
  assert.ok(wider / wide > 1.9 && wider / wide < 2.1, `${wider / wide}`);
});
