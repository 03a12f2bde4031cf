// The JSON schema: it agrees with validation on good and bad recipes, and the committed file is not stale.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue } from '../../../src/engine/catalogue';
import { recipeFields } from '../../../src/engine/recipe/fields';
import { type JsonSchema, recipeSchema } from '../../../src/engine/recipe/schema';

const schema = recipeSchema(catalogue);

/** The keywords of draft-07 that the schema uses; any other is an error, so that none goes unchecked. */
function accepts(rule: JsonSchema, value: unknown): boolean {
  for (const [keyword, wanted] of Object.entries(rule)) {
    if (!holds(keyword, wanted, rule, value)) return false;
  }
  return true;
}

function holds(keyword: string, wanted: unknown, rule: JsonSchema, value: unknown): boolean {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  const isNumber = typeof value === 'number';
  switch (keyword) {
    case '$schema':
    case 'title':
    case 'description':
    case 'default':
      return true;
    case 'type':
      return (
        ((wanted === 'object' && isObject) ||
          (wanted === 'array' && Array.isArray(value)) ||
          (wanted === 'null' && value === null) ||
          (wanted === 'integer' && Number.isInteger(value)) ||
          typeof value === wanted) &&
        !(wanted === 'object' && !isObject)
      );
    case 'const':
      return value === wanted;
    case 'anyOf':
      return (wanted as JsonSchema[]).some((option) => accepts(option, value));
    case 'required':
      return !isObject || (wanted as string[]).every((key) => Object.hasOwn(value, key));
    case 'properties':
      return (
        !isObject ||
        Object.entries(wanted as Record<string, JsonSchema>).every(
          ([key, sub]) => !Object.hasOwn(value, key) || accepts(sub, (value as Record<string, unknown>)[key]),
        )
      );
    case 'additionalProperties': {
      if (!isObject) return true;
      const known = Object.keys((rule.properties as object | undefined) ?? {});
      const others = Object.entries(value).filter(([key]) => !known.includes(key));
      return wanted === false
        ? others.length === 0
        : others.every(([, item]) => accepts(wanted as JsonSchema, item));
    }
    case 'items':
      return !Array.isArray(value) || value.every((item) => accepts(wanted as JsonSchema, item));
    case 'minItems':
      return !Array.isArray(value) || value.length >= (wanted as number);
    case 'minLength':
      return typeof value !== 'string' || value.length >= (wanted as number);
    case 'pattern':
      return typeof value !== 'string' || new RegExp(wanted as string).test(value);
    case 'minimum':
      return !isNumber || value >= (wanted as number);
    case 'maximum':
      return !isNumber || value <= (wanted as number);
    case 'exclusiveMinimum':
      return !isNumber || value > (wanted as number);
    case 'exclusiveMaximum':
      return !isNumber || value < (wanted as number);
    default:
      assert.fail(`the test does not know the keyword ${keyword}`);
  }
}

const base = { model: 'm', dataset: 'd.jsonl' };
const good: object[] = [
  base,
  { ...base, r: 8, lora_alpha: 16.5, target_modules: ['q_proj'], init_lora_weights: true, packing: null },
  { ...base, dataset: ['a', { path: 'b', columns: { text: 'body' } }], device: 'cuda:1' },
  {
    ...base,
    init_lora_weights: 'gaussian',
    rank_pattern: { q_proj: 4 },
    gradient_checkpointing: 'selective',
    max_steps: -1,
  },
  { ...base, layers_to_transform: [0, 1], resume_from_checkpoint: 'runs/a/checkpoints/step-5', seed: 0 },
];
const bad: object[] = [
  { model: 'm' },
  { ...base, r: 0 },
  { ...base, r: '8' },
  { ...base, lora_dropout: 1 },
  { ...base, learning_rate: 0 },
  { ...base, adapter: 'oft' },
  { ...base, lora_rank: 8 },
  { ...base, dataset: [] },
  { ...base, dataset: [{ file: 'a' }] },
  { ...base, dataset: { path: 'a', columns: { txt: 'b' } } },
  { ...base, rank_pattern: { q: 'x' } },
  { ...base, device: 'cuda:x' },
  { ...base, init_lora_weights: 'true' },
  { ...base, packing: 'yes' },
  { ...base, model: null },
];

test('accepts good recipes and refuses bad ones', () => {
  for (const recipe of good) assert.ok(accepts(schema, recipe), JSON.stringify(recipe));
  for (const recipe of bad) assert.ok(!accepts(schema, recipe), JSON.stringify(recipe));
});

test('describes every setting, and its default fits', () => {
  const properties = schema.properties as Record<string, JsonSchema>;
  for (const field of recipeFields(catalogue)) {
    const property = properties[field.key];
    assert.ok(property?.description, field.key);
    if ('default' in property) assert.ok(accepts(property, property.default), field.key);
  }
});

test('the committed schema is fresh', () => {
  const path = join(process.cwd(), 'schemas', 'recipe.schema.json');
  const committed: unknown = JSON.parse(readFileSync(path, 'utf8'));
  assert.deepEqual(committed, JSON.parse(JSON.stringify(schema)), 'Run: node scripts/schema.mjs');
});
