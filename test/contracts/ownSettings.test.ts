// What every choice of every axis owes the people who set it: the terminal, the committed JSON schema and the form show it and
// its own settings, and a value out of range is refused with the range and a remedy. The choices come from the catalogue.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { methods } from '../../src/cli/commands/methods';
import { Terminal } from '../../src/cli/terminal';
import { catalogue } from '../../src/engine/catalogue';
import { UserError } from '../../src/engine/errors';
import { axes, type CatalogueEntry } from '../../src/engine/recipe/catalogue';
import { parseRecipe } from '../../src/engine/recipe/parse';
import { describeShape } from '../../src/engine/recipe/shapes';
import { validateRecipe } from '../../src/engine/recipe/validate';
import { readForm } from '../../src/extension/webviews/configureForm';
import type { Problem } from '../../src/protocol/errors';
import type { SettingField, SettingShape, SettingValue } from '../../src/protocol/settings';

const schema = JSON.parse(readFileSync(join('schemas', 'recipe.schema.json'), 'utf8')) as {
  properties: Record<string, { description?: string; default?: unknown; anyOf?: object[] }>;
};

const shown = (() => {
  const lines: string[] = [];
  methods(
    new Terminal({
      json: false,
      stdout: { write: (text: string) => lines.push(text) },
      env: { NO_COLOR: '1' },
    }),
  );
  return lines.join('');
})();

const recipeOf = (axis: string, id: string | boolean, more: Record<string, unknown> = {}): string =>
  JSON.stringify({ model: 'm', dataset: 'd.jsonl', [axis]: id, ...more });

/** What validation says of a recipe; nothing where it is fine. */
function problemsOf(text: string): readonly Problem[] {
  try {
    validateRecipe(parseRecipe(Buffer.from(text), 'a.lora.json', '/nowhere'), catalogue);
    return [];
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.problems;
  }
}

/** Values that the shape does not take: beyond each of its bounds, and of another kind. */
function wrongValues(shape: SettingShape): SettingValue[] {
  switch (shape.type) {
    case 'integer':
    case 'number':
      return [
        ...(shape.minimum === undefined ? [] : [shape.minimum - 1]),
        ...(shape.exclusiveMinimum === undefined ? [] : [shape.exclusiveMinimum]),
        ...(shape.maximum === undefined ? [] : [shape.maximum + 1]),
        ...(shape.exclusiveMaximum === undefined ? [] : [shape.exclusiveMaximum]),
        ...(shape.type === 'integer' ? [1.5] : []),
        'many',
      ];
    case 'boolean':
      return ['yes', 1];
    case 'enum':
      return ['no such choice'];
    default:
      return [{ of: 'another kind' }];
  }
}

function ownSettings(entry: CatalogueEntry): void {
  for (const field of entry.fields) {
    assert.ok(schema.properties[field.key]?.description, `the schema describes ${field.key}`);
    assert.ok(shown.includes(field.description), `the terminal describes ${field.key}`);
  }
}

for (const axis of axes) {
  for (const entry of catalogue[axis]) {
    const { id, label, summary } = entry;
    test(`${axis}: ${id}: shown with its own settings by terminal, schema and form`, () => {
      ownSettings(entry);
      assert.ok(shown.includes(`${id}  ${label}. ${summary}`), 'the terminal lists it');
      const listed = JSON.stringify(schema.properties[axis]);
      assert.ok(listed.includes(JSON.stringify(id)), `the schema lists it: ${listed}`);
      const { form } = readForm(recipeOf(axis, id), 'a.lora.json', '/nowhere');
      const choices = form.axes.find(({ key }) => key === axis)!.choices;
      assert.ok(choices.some((choice) => choice.id === id && choice.summary === summary));
      for (const field of entry.fields) {
        const own = form.fields.find((one) => one.field.key === field.key);
        assert.deepEqual(own?.field, field, `the form has ${field.key} as ${id} describes it`);
        assert.deepEqual([own.value, own.given, own.off], [field.default ?? null, false, false]);
      }
    });

    if (entry.fields.length === 0) continue;
    test(`${axis}: ${id}: what is out of range is refused with the range and a remedy`, () => {
      for (const field of entry.fields)
        for (const value of wrongValues(field)) refuses(axis, id, field, value);
    });
  }
}

function refuses(axis: string, id: string | boolean, field: SettingField, value: SettingValue): void {
  const found = problemsOf(recipeOf(axis, id, { [field.key]: value })).filter(({ message }) =>
    message.includes(field.key),
  );
  const what = `${field.key}: ${JSON.stringify(value)}`;
  assert.ok(found.length > 0, `${what} is refused`);
  const range = field.type === 'enum' ? String(field.choices[0]!.id) : describeShape(field);
  assert.ok(
    found.some(({ message, remedy }) => `${message} ${remedy}`.includes(range)),
    `${what}: ${JSON.stringify(found)} says ${range}`,
  );
  for (const { remedy } of found) assert.match(remedy ?? '', /^[A-Z].*\.$/, `${what} has a remedy`);
}

test('presets are grouped by category in the terminal and in the form', () => {
  const { form } = readForm('{"model": "m"}', 'a.lora.json', '/nowhere');
  const ids = form.presets.map(({ id }) => id);
  assert.deepEqual(
    ids,
    catalogue.presets.map(({ id }) => id),
  );
  const order = form.presets.map(({ category }) => category);
  assert.deepEqual(
    order,
    [...new Set(order)].flatMap((category) => order.filter((one) => one === category)),
  );
  let at = 0;
  for (const { id, category, label } of catalogue.presets) {
    assert.ok(shown.includes(` ${category}\n`), category);
    const next = shown.indexOf(label, at);
    assert.ok(next > at, `${id} comes in its place`);
    at = next;
  }
});
