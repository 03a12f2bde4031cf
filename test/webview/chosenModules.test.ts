// What a method chose, from the run's log to the lines of the page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OtherEvent } from '../../src/protocol/panels/run';
import type { ModuleChoice } from '../../src/protocol/run';
import { choiceSentence, chosenModules } from '../../webview/run/chosenModules';
import { RunHistory } from '../../webview/run/history';

const choice = (path: string, importance: number, sharedAs: string | null = null): ModuleChoice => ({
  path,
  importance,
  kept: sharedAs === null,
  sharedAs,
});
const choices = [
  choice('model.layers.0.self_attn.q_proj', 0.2, 'q'),
  choice('model.layers.0.mlp.down_proj', 0.7),
  choice('model.layers.10.self_attn.q_proj', 0.8),
  choice('model.layers.10.mlp.down_proj', 0.3, 'down'),
  choice('model.layers.11.self_attn.q_proj', 0.1, 'q'),
  choice('model.layers.0.self_attn.v_proj', 1),
  choice('lm_head', 1),
];

test('modules with a pair of their own, by layer; the shared pairs are counted once', () => {
  const chosen = chosenModules(choices);
  assert.deepEqual(chosen, {
    kept: 4,
    total: 7,
    sharedPairs: 2,
    layers: [
      {
        layer: 0,
        modules: [
          { place: 'mlp.down_proj', importance: 0.7 },
          { place: 'self_attn.v_proj', importance: 1 },
        ],
      },
      { layer: 10, modules: [{ place: 'self_attn.q_proj', importance: 0.8 }] },
      { layer: null, modules: [{ place: 'lm_head', importance: 1 }] },
    ],
  });
  assert.equal(choiceSentence(chosen), '4 of 7 modules have pairs of their own; the others share 2 pairs.');
  assert.equal(
    choiceSentence(chosenModules(choices.slice(0, 2))),
    '1 of 2 modules has a pair of its own; the others share 1 pair.',
  );
  assert.equal(choiceSentence(chosenModules(choices.slice(1, 3))), '2 of 2 modules have pairs of their own.');
  assert.deepEqual(chosenModules([]), { kept: 0, total: 0, sharedPairs: 0, layers: [] });
});

test('a page keeps the last choice of its run; a run that starts anew has none', () => {
  const history = new RunHistory('r', 'r');
  const steps = {
    step: [],
    loss: [],
    smoothed: [],
    learningRate: [],
    gradNorm: [],
    tokensPerSecond: [],
    tokens: [],
  };
  const tell = (event: object): void =>
    history.add({ pieces: [{ steps, event: { time: new Date(0).toISOString(), ...event } as OtherEvent }] });
  assert.deepEqual(history.choices, []);
  tell({ type: 'note', message: 'It keeps some.', modules: choices });
  tell({ type: 'note', message: 'Something else.' });
  assert.equal(history.choices, choices);
  assert.equal(history.events.length, 2, 'the sentence stays among the events');
  tell({ type: 'run-started', resumedFromStep: 4 });
  assert.equal(history.choices, choices);
  const other = choices.slice(0, 2);
  tell({ type: 'note', message: 'It chose again.', modules: other });
  assert.equal(history.choices, other);
  tell({ type: 'run-started', resumedFromStep: null });
  assert.deepEqual(history.choices, []);
});
