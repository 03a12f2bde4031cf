// The forecast of a deep model from shallow ones, against the whole one: shapes of a billion and of seven billion parameters
// and of GPT-2, methods, four bits, checkpointing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue } from '../../../src/engine/catalogue';
import { deepForecast, leastLayers } from '../../../src/engine/estimate/deepModels';
import { type Forecast, forecast } from '../../../src/engine/estimate/forecast';
import type { JsonObject } from '../../../src/engine/files/json';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { validateRecipe } from '../../../src/engine/recipe/validate';
import { quickForecast } from '../../../src/extension/webviews/configureForecast';

const seven: JsonObject = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
};
const one: JsonObject = {
  ...seven,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  vocab_size: 128256,
  tie_word_embeddings: true,
};
const gpt2: JsonObject = {
  model_type: 'gpt2',
  n_embd: 768,
  n_layer: 12,
  n_head: 12,
  n_positions: 1024,
  vocab_size: 50257,
  layer_norm_epsilon: 1e-5,
  activation_function: 'gelu_new',
};

function recipeOf(given: Record<string, unknown>) {
  const values = { model: '.', dataset: 'x.jsonl', max_length: 512, r: 16, ...given };
  return validateRecipe(parseRecipe(Buffer.from(JSON.stringify(values)), 'x.lora.json', '.'), catalogue)
    .recipe;
}

const share = (found: number, expected: number): number => Math.abs(found / expected - 1);

const cases: [string, JsonObject, Record<string, unknown>, number][] = [
  ['7B', seven, {}, 0.01],
  ['7B in four bits', seven, { load_in_4bit: true }, 0.015],
  ['1B, nothing recomputed', one, { gradient_checkpointing: 'none' }, 0.01],
  ['1B, blocks recomputed', one, { gradient_checkpointing: 'full' }, 0.01],
  ['1B in four bits', one, { load_in_4bit: true }, 0.03],
  ['1B, DoRA', one, { adapter: 'dora' }, 0.01],
  ['1B, every weight', one, { adapter: 'none', r: undefined }, 0.01],
  ['1B, dropout and evaluation', one, { lora_dropout: 0.1, val_size: 0.1 }, 0.02],
  ['1B, single layers', one, { layers_to_transform: [0, 15], optim: 'paged_adamw_8bit' }, 0.03],
  ['1B on CUDA', one, { device: 'cuda' }, 0.02],
  ['GPT-2', gpt2, {}, 0.02],
];
for (const [name, config, given, tolerance] of cases) {
  test(`${name}: the forecast of a few layers is that of all`, () => {
    const recipe = recipeOf(given);
    const model = modelFromConfig(config);
    const exact = forecast(model, recipe);
    const deep = deepForecast(config, model, recipe) as Forecast;
    assert.equal(deep.trainableParameters, exact.trainableParameters);
    for (const part of ['weights', 'adapter', 'gradients', 'optimizer', 'saving'] as const)
      assert.equal(deep.parts[part], exact.parts[part], part);
    const off = share(deep.totalBytes, exact.totalBytes);
    assert.ok(off <= tolerance, `off by ${(100 * off).toFixed(2)} %`);
  });
}

test('a shallow model is forecast whole', () => {
  const config = { ...gpt2, n_layer: leastLayers - 1 };
  assert.equal(deepForecast(config, modelFromConfig(config), recipeOf({})), undefined);
});

test('at once: counted parts are exact, and nothing is guessed where the weights take another form', () => {
  const model = modelFromConfig({ ...gpt2, n_layer: 3 });
  const known = { recipe: recipeOf({}), forecast: forecast(model, recipeOf({})) };
  const changed = recipeOf({ r: 64 });
  const [quick, exact] = [quickForecast(model, changed, known), forecast(model, changed)];
  for (const part of ['weights', 'adapter', 'gradients', 'optimizer', 'saving'] as const)
    assert.equal(quick?.parts[part], exact.parts[part], part);
  assert.equal(quickForecast(model, recipeOf({ load_in_4bit: true }), known), null);
  assert.equal(quickForecast(model, recipeOf({ device: 'cuda' }), known), null);
});
