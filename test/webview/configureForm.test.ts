// What a form shows of a recipe, its remedies, its module map and its quick forecast.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { forecast } from '../../src/engine/estimate/forecast';
import { modelFromConfig } from '../../src/engine/models/registry';
import { editRecipe } from '../../src/extension/webviews/configureEdit';
import { forecastKey, quickForecast } from '../../src/extension/webviews/configureForecast';
import { readForm, settingOrder } from '../../src/extension/webviews/configureForm';
import { coverageOf, toggleTargets } from '../../src/extension/webviews/configureTargets';

const model = modelFromConfig({
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 64,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
});
const read = (text: string) => readForm(text, 'a.lora.yaml', '/nowhere');
const base = 'model: m\ndataset: d.jsonl\n';

test('values come from the recipe, else from the preset, else from the defaults', () => {
  const { form, recipe } = read(`${base}preset: rslora\nr: 4\n`);
  const field = (key: string) => form.fields.find((one) => one.field.key === key)!;
  assert.deepEqual([field('r').value, field('r').given], [4, true]);
  assert.deepEqual([field('use_rslora').value, field('use_rslora').given], [true, false]);
  assert.equal(field('lora_dropout').value, 0);
  assert.equal(recipe?.r, 4);
});

test('a text that is no recipe is a problem and no form to fill in', () => {
  for (const text of ['model: [', '- a\n- b\n', '\u0000']) {
    const { form, recipe } = read(text);
    assert.equal(form.readable, false);
    assert.equal(recipe, null);
    assert.ok(form.problems.length > 0);
  }
  assert.equal(read('').form.readable, true);
});

test('the model is known while the rest is missing or has mistakes', () => {
  assert.equal(read('model: m\n').model, '/nowhere/m');
  assert.equal(read('model: ../m\nr: -3\n').model, '/m');
  for (const text of ['', 'r: 4\n', 'model: 7\n', 'model: ""\n']) assert.equal(read(text).model, null);
});

test('the remedies of validation are edits that mend', () => {
  const text = `${base}lerning_rate: 0.001\nadapter: none\nlora_dropout: 0.1\n`;
  const { form } = read(text);
  const fixes = form.problems.flatMap(({ fixes: list }) => list);
  const rename = fixes.find(({ label }) => label === 'Rename to learning_rate');
  const remove = fixes.find(({ label }) => label === 'Remove lora_dropout');
  assert.ok(rename && remove, JSON.stringify(form.problems));
  const mended = editRecipe(text, false, [...rename.edits, ...remove.edits], settingOrder());
  assert.equal(read(mended).form.problems.filter(({ message }) => !/there is no/.test(message)).length, 0);
});

test('changes that mend come as data, whatever the words of the remedy', () => {
  const fixes = (text: string) =>
    read(text).form.problems.flatMap((problem) => problem.fixes.map(({ edits }) => edits));
  assert.deepEqual(fixes(`${base}bf16: true\nfp16: true\n`).flat(), [{ key: 'bf16' }, { key: 'fp16' }]);
  assert.deepEqual(fixes(`${base}max_length: "128"\n`).flat(), [{ key: 'max_length', value: 128 }]);
  assert.deepEqual(fixes(`${base}optim: adamv\n`).flat().slice(0, 1), [{ key: 'optim', value: 'adamw' }]);
  const text = `${base}early_stopping_threshold: 0.5\n`;
  const [edits] = fixes(text);
  assert.equal(
    read(editRecipe(text, false, edits!, settingOrder())).form.problems.filter(({ key }) =>
      key?.startsWith('early'),
    ).length,
    0,
  );
});

test('the map shows ranks by layer, and toggling writes what gives that map', () => {
  const { recipe } = read(base);
  const whole = coverageOf(model, recipe!);
  assert.deepEqual([whole.adapted, whole.adaptable, whole.rows.length], [21, 21, 7]);
  const targets: Parameters<typeof toggleTargets>[2][] = [
    { row: 'q_proj', layer: 1, on: false },
    { row: 'gate_proj', layer: null, on: false },
    { row: null, layer: 0, on: false },
    { row: 'q_proj', layer: 1, on: true },
  ];
  let text = base;
  const expected = new Set(planAdapter(model, recipe!).sites.keys());
  for (const target of targets) {
    const now = read(text).recipe!;
    text = editRecipe(text, false, toggleTargets(model, now, target), settingOrder());
    for (const path of planAdapter(model, recipe!).sites.keys()) {
      const hit =
        (target.row === null || path.endsWith(`.${target.row}`)) &&
        (target.layer === null || path.includes(`.${target.layer}.`));
      if (hit && target.on) expected.add(path);
      else if (hit) expected.delete(path);
    }
    const got = new Set(planAdapter(model, read(text).recipe!).sites.keys());
    assert.deepEqual([...got].sort(), [...expected].sort(), text);
  }
});

test('the last module cannot be taken out', () => {
  const { recipe } = read(`${base}target_modules: [q_proj]\n`);
  assert.deepEqual(toggleTargets(model, recipe!, { row: 'q_proj', layer: null, on: false }), []);
});

test('a quick forecast counts exactly what can be counted, and is the exact one for the same recipe', () => {
  const { recipe } = read(`${base}max_length: 64\nr: 4\n`);
  const exact = forecast(model, recipe!);
  const quick = quickForecast(model, recipe!, { recipe: recipe!, forecast: exact })!;
  for (const part of ['weights', 'adapter', 'gradients', 'optimizer', 'saving'] as const)
    assert.equal(quick.parts[part], exact.parts[part], part);
  assert.equal(quick.totalBytes, exact.totalBytes);
  const larger = read(`${base}max_length: 128\nr: 4\n`).recipe!;
  assert.ok(
    quickForecast(model, larger, { recipe: recipe!, forecast: exact })!.parts.activations >
      exact.parts.activations,
  );
});

test('only what changes the programs asks for another forecast', () => {
  const one = read(`${base}r: 4\n`).recipe!;
  assert.equal(forecastKey(one), forecastKey(read(`${base}r: 4\nlearning_rate: 1.0e-3\nseed: 7\n`).recipe!));
  assert.notEqual(forecastKey(one), forecastKey(read(`${base}r: 8\n`).recipe!));
  assert.notEqual(forecastKey(one), forecastKey(read(`${base}r: 4\ngradient_checkpointing: full\n`).recipe!));
});
