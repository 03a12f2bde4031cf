// engine_state.json comes from strangers: every value is checked, all problems are listed together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingsOfState } from '../../../src/engine/adapters/nativeState';
import { AdapterError } from '../../../src/engine/errors';

const good = {
  version: 1,
  settings: {
    adapter: 'mora',
    r: 4,
    lora_alpha: 8,
    lora_dropout: 0,
    use_rslora: false,
    bias: 'none',
    target_modules: ['q_proj'],
    settings: { mora_type: 2 },
  },
};

test('settings are read, what is left out takes its default', () => {
  const settings = settingsOfState(good, 'engine_state.json');
  assert.equal(settings.adapter, 'mora');
  assert.deepEqual(settings.settings, { mora_type: 2 });
  assert.deepEqual(settings.rank_pattern, {});
  assert.equal(settings.exclude_modules, null);
});

const bad: [string, object, RegExp][] = [
  ['another version', { ...good, version: 2 }, /version: is 2; version 1 is read/],
  ['no settings', { version: 1 }, /adapter: is missing/],
  ['an unknown method', { ...good, settings: { ...good.settings, adapter: '__proto__' } }, /adapter/],
  ['a rank of text', { ...good, settings: { ...good.settings, r: '4' } }, /, r: expected/],
  ['a huge rank', { ...good, settings: { ...good.settings, r: 1e9 } }, /, r: expected/],
  [
    'a type that is none',
    { ...good, settings: { ...good.settings, settings: { mora_type: 9 } } },
    /mora_type: expected/,
  ],
  [
    'no targets',
    { ...good, settings: { ...good.settings, target_modules: null } },
    /target_modules: is missing/,
  ],
  ['targets of numbers', { ...good, settings: { ...good.settings, target_modules: [1] } }, /target_modules/],
];
for (const [name, json, says] of bad) {
  test(`${name} is refused`, () => {
    assert.throws(
      () => settingsOfState(json as Record<string, unknown>, 'engine_state.json'),
      (error) => error instanceof AdapterError && says.test(error.message),
    );
  });
}
