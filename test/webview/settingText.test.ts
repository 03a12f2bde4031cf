// Values and their texts in a form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue } from '../../src/engine/catalogue';
import { recipeFields } from '../../src/engine/recipe/fields';
import type { SettingShape } from '../../src/protocol/settings';
import { choicesOf, readText, showValue } from '../../webview/shared/settingText';

test('every default of the catalogue survives the way into a field and back', () => {
  for (const field of recipeFields(catalogue)) {
    if (field.default === undefined || field.default === null || choicesOf(field) !== undefined) continue;
    const read = readText(field, showValue(field.default));
    assert.ok(!('error' in read), field.key);
    const empty = typeof field.default === 'object' && Object.keys(field.default).length === 0;
    assert.deepEqual(read.value, empty ? undefined : field.default, field.key);
  }
});

test('numbers are read as people write them, and refused with a reason', () => {
  const integer: SettingShape = { type: 'integer' };
  assert.deepEqual(readText(integer, ' 1,024 '), { value: 1024 });
  assert.deepEqual(readText({ type: 'number' }, '2e-4'), { value: 2e-4 });
  assert.match((readText(integer, '1.5') as { error: string }).error, /whole/);
  assert.match((readText(integer, 'many') as { error: string }).error, /no number/);
  assert.deepEqual(readText(integer, ''), { value: undefined });
});

test('names of modules are one name, a list, or a regular expression', () => {
  const field = recipeFields(catalogue).find(({ key }) => key === 'target_modules')!;
  assert.deepEqual(readText(field, 'q_proj, v_proj'), { value: ['q_proj', 'v_proj'] });
  assert.deepEqual(readText(field, 'all-linear'), { value: 'all-linear' });
  assert.deepEqual(readText(field, '.*\\.(q|v)_proj'), { value: '.*\\.(q|v)_proj' });
});
