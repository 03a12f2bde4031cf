// Every kind of mistake in a recipe: each is found, at its line, with a remedy, and several are found at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue } from '../../../src/engine/catalogue';
import { UserError } from '../../../src/engine/errors';
import { importRecipe } from '../../../src/engine/recipe/aliases';
import { recipeFields } from '../../../src/engine/recipe/fields';
import { applyOverrides } from '../../../src/engine/recipe/overrides';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { validateRecipe } from '../../../src/engine/recipe/validate';
import type { Problem } from '../../../src/protocol/errors';

const base = 'model: m\ndataset: d.jsonl\n';

function read(text: string | Uint8Array, set: string[] = [], file = 'a.lora.yaml') {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const { source } = importRecipe(
    parseRecipe(bytes, file, '/recipes'),
    new Set(recipeFields(catalogue).map((field) => field.key)),
  );
  applyOverrides(source, set);
  return validateRecipe(source, catalogue);
}

function problemsOf(
  text: string | Uint8Array,
  set: string[] = [],
  file = 'a.lora.yaml',
): { code: string; problems: readonly Problem[] } {
  try {
    read(text, set, file);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    assert.ok(error.remedy.length > 0);
    return { code: error.code, problems: error.problems };
  }
  assert.fail(`accepted: ${text}`);
}

/** [name, recipe below the two required lines, line, part of the message, part of the remedy]. */
const mistakes: [string, string, number, RegExp, RegExp][] = [
  ['a mistyped key', 'learning_rte: 1', 3, /learning_rte is no known setting/, /Write learning_rate instead/],
  ['a key with dashes', 'lora-alpha: 8', 3, /lora-alpha is no known/, /Write lora_alpha/],
  ['half a key', 'epochs: 3', 3, /epochs is no known/, /num_train_epochs/],
  ['two compute types', 'bf16: true\nfp16: true', 4, /bf16 and fp16 are both on/, /Remove bf16, or fp16/],
  ['bf16 against dtype', 'dtype: float16\nbf16: true', 4, /dtype says otherwise/, /Remove dtype, or bf16/],
  ['fp16 against dtype', 'dtype: float32\nfp16: true', 4, /dtype says otherwise/, /Remove dtype, or fp16/],
  ['bf16 on WebGPU', 'device: webgpu\nbf16: true', 4, /webgpu has no bfloat16/, /float16 or float32/],
  ['a mistyped synonym', 'lora_rnak: 4', 3, /no known setting/, /Write r instead/],
  ['a key like none', 'zzzzzz: 4', 3, /no known setting/, /Remove zzzzzz/],
  ['a prototype key', '__proto__: {r: 1}', 3, /no known setting/, /Remove/],
  ['a setting to come', 'use_dora: true', 3, /not available in this version/, /Remove use_dora/],
  [
    'a variant to come',
    'adapter: oft',
    3,
    /oft is not available in this version; available are lora, /,
    /lora, .*none/,
  ],
  [
    'a base in 8 bits',
    'load_in_8bit: true',
    3,
    /not available in this version: .*load_in_4bit/,
    /Remove load_in_8bit/,
  ],
  [
    'a block size between two',
    'load_in_4bit: true\nbnb_4bit_blocksize: 48',
    4,
    /48 is no block size; known are 32, 64/,
    /bnb_4bit_blocksize: 64/,
  ],
  ['4 bits that all train', 'load_in_4bit: true\nadapter: none', 3, /trains them all/, /such as lora/],
  ['an unknown variant', 'adapter: loar', 3, /"loar" is not among lora, /, /Write lora/],
  ['an unknown schedule', 'lr_scheduler_type: cosin', 3, /not among/, /Write cosine/],
  ['a number in quotes', 'learning_rate: "2e-4"', 3, /found "2e-4"/, /without quotes/],
  ['a word for a number', 'r: eight', 3, /expected a whole number.*found "eight"/, /Give a whole number/],
  ['a fraction for a count', 'r: 1.5', 3, /whole number.*found 1.5/, /whole number/],
  ['rank 0', 'r: 0', 3, /at least 1.*found 0/, /at least 1/],
  ['a negative rate', 'learning_rate: -1', 3, /above 0/, /above 0/],
  ['no finite number', 'learning_rate: .inf', 3, /found Infinity/, /number/],
  ['no number', 'weight_decay: .nan', 3, /found NaN/, /number/],
  ['dropout 1', 'lora_dropout: 1', 3, /below 1/, /below 1/],
  ['yes for true', 'packing: yes', 3, /expected true or false, found "yes"/, /Write true or false/],
  ['a list for a value', 'model_: 1\nlora_alpha: [1]', 4, /found a list of 1/, /number/],
  ['a value for a list', 'modules_to_save: lm_head', 3, /expected a list/, /\[a, b\]/],
  ['a wrong item', 'layers_to_transform: [0, -1]', 3, /layers_to_transform\[1\]: .*found -1/, /at least 0/],
  ['an empty list', 'target_modules: []', 3, /empty list/, /Name at least one/],
  ['a wrong value in a map', 'rank_pattern: {q_proj: 0}', 3, /rank_pattern.q_proj: .*found 0/, /at least 1/],
  ['a broken expression', 'target_modules: "(q_proj"', 3, /regular expression/, /Correct the expression/],
  ['a dataset without a path', 'eval_dataset:\n  - columns: {text: t}', 4, /has no path/, /Add path/],
  [
    'a wrong key of a dataset',
    'eval_dataset:\n  - path: a\n    colums: {}',
    5,
    /no known key here/,
    /Write columns/,
  ],
  [
    'an unknown column',
    'eval_dataset: {path: a, columns: {promt: q}}',
    3,
    /no known key here/,
    /Write prompt/,
  ],
  ['an unknown device', 'device: gpu', 3, /"gpu" is not among/, /cuda/],
  ['a seed too large', 'seed: 4294967296', 3, /at most 4294967295/, /whole number/],
  ['two held-out sets', 'eval_dataset: e.jsonl\nval_size: 0.1', 4, /both given/, /Remove val_size/],
  ['val_size 1.5', 'val_size: 1.5', 3, /must be whole/, /fraction/],
  ['evaluation of nothing', 'eval_steps: 5', 3, /nothing to evaluate/, /eval_dataset/],
  ['best of nothing', 'load_best_model_at_end: true', 3, /needs evaluations/, /val_size/],
  ['patience with nothing', 'early_stopping_patience: 2', 3, /counts evaluations/, /val_size/],
  [
    'a constant warm-up',
    'lr_scheduler_type: constant\nwarmup_steps: 3',
    3,
    /no warm-up/,
    /constant_with_warmup/,
  ],
  ['two warm-ups', 'warmup_steps: 3\nwarmup_ratio: 0.1', 4, /both given/, /Remove one/],
  ['steps without a number', 'val_size: 0.1\neval_strategy: steps', 4, /needs eval_steps/, /eval_steps: 50/],
  ['no steps at all', 'max_steps: 0', 3, /would train nothing/, /-1/],
  [
    'LoRA settings for full fine-tuning',
    'adapter: none\nr: 8',
    4,
    /r has no effect with adapter: none/,
    /Remove r/,
  ],
  [
    'an odd orthogonal rank',
    'init_lora_weights: orthogonal\nr: 7',
    4,
    /needs an even rank, found 7/,
    /Set r: 8/,
  ],
  [
    'a pattern without layers',
    'layers_pattern: h',
    3,
    /without layers_to_transform/,
    /Add layers_to_transform/,
  ],
  [
    'an expression and layers',
    'target_modules: ".*q_proj"\nlayers_to_transform: [0]',
    4,
    /cannot be used/,
    /as a list/,
  ],
  [
    'constants of no quantisation',
    'bnb_4bit_use_double_quant: true',
    3,
    /belongs to load_in_4bit: true/,
    /Set load_in_4bit: true/,
  ],
  [
    'one setting by two names',
    'r: 4\nlora_rank: 8',
    4,
    /lora_rank and r both set r/,
    /Remove lora_rank or r/,
  ],
];

for (const [name, text, line, message, remedy] of mistakes) {
  test(`refuses ${name}`, () => {
    const { problems } = problemsOf(base + text);
    const found = problems.find((problem) => message.test(problem.message));
    assert.ok(found, `expected ${message}, found ${JSON.stringify(problems)}`);
    assert.equal(found.where, `a.lora.yaml:${line}`);
    assert.match(found.remedy ?? '', remedy);
  });
}

test('reports every mistake at once, with the lines in the file', () => {
  const { code, problems } = problemsOf(
    'dataset: d\nr: 0\npackin: true\nadapter: oft\nlearning_rate: fast\n',
  );
  assert.equal(code, 'recipe-invalid');
  assert.deepEqual(
    problems.map((problem) => problem.where),
    ['a.lora.yaml:2', 'a.lora.yaml:3', 'a.lora.yaml:4', 'a.lora.yaml:5', 'a.lora.yaml'],
  );
  assert.match(problems.at(-1)!.message, /model is missing/);
  for (const problem of problems) assert.ok(problem.remedy, problem.message);
});

/** [name, bytes or text, file, line or null, part of the message]. */
const broken: [string, string | Uint8Array, string, RegExp, RegExp][] = [
  ['a key given twice', 'model: m\nr: 1\nr: 2\n', 'a.yaml', /^a\.yaml:3$/, /a second time/],
  ['an open bracket', 'model: [m\ndataset: d\n', 'a.yaml', /^a\.yaml:\d$/, /./],
  ['a tab', 'model: m\nrank_pattern:\n\tq: 1\n', 'a.yaml', /^a\.yaml:3$/, /[Tt]ab/],
  ['two documents', 'model: m\n---\nmodel: n\n', 'a.yaml', /^a\.yaml:\d$/, /document/],
  ['nothing', '', 'a.yaml', /a\.yaml/, /empty/],
  ['only a comment', '# later\n', 'a.yaml', /a\.yaml/, /empty/],
  ['a list', '- model: m\n', 'a.yaml', /a\.yaml/, /no mapping/],
  ['a word', 'train', 'a.yaml', /a\.yaml/, /no mapping/],
  ['a broken JSON', '{\n"model": "m",\n}', 'a.json', /^a\.json:3$/, /JSON/],
  ['a JSON cut short', '{"model": "m"', 'a.json', /^a\.json:1$/, /JSON/],
  ['a key twice in JSON', '{"model": "m",\n "r": 1,\n "r": 2}', 'a.json', /^a\.json:3$/, /a second time/],
  ['no UTF-8', Uint8Array.of(0x6d, 0xff, 0xfe), 'a.yaml', /a\.yaml/, /not UTF-8/],
  ['a megabyte', 'a: b\n'.repeat(250_000), 'a.yaml', /a\.yaml/, /bytes/],
  ['brackets without end', `model: ${'['.repeat(100_000)}`, 'a.yaml', /a\.yaml/, /brackets/],
  ['levels without end', `a: ${'{a: '.repeat(100)}1${'}'.repeat(100)}`, 'a.yaml', /a\.yaml/, /levels/],
  ['an alias of nothing', 'model: *m\n', 'a.yaml', /a\.yaml/, /alias/i],
  [
    'aliases that multiply',
    `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((n, i) => `${n}: &${n} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}\n`,
    'a.yaml',
    /a\.yaml/,
    /aliases/,
  ],
];

for (const [name, text, file, where, message] of broken) {
  test(`cannot read ${name}`, () => {
    const { code, problems } = problemsOf(text, [], file);
    assert.equal(code, 'recipe-syntax');
    assert.match(problems[0]!.where, where);
    assert.match(problems[0]!.message, message);
    assert.ok(problems[0]!.remedy);
  });
}

test('names the option where an override is wrong', () => {
  const { problems } = problemsOf(base, ['r=0', 'learning_rte=1']);
  assert.deepEqual(
    problems.map((problem) => problem.where),
    ['--set r=0', '--set learning_rte=1'],
  );
});

test('names the option for what is below an overridden key, not the line it replaced', () => {
  const { problems } = problemsOf(`${base}eval_dataset:\n  - pth: a\n`, ['eval_dataset=[{pth: a}]']);
  assert.ok(problems.length > 0);
  for (const { where } of problems) assert.equal(where, '--set eval_dataset=[{pth: a}]');
});

test('refuses overrides that cannot be applied, all at once', () => {
  const { code, problems } = problemsOf(`${base}r: 8\n`, ['r', '=3', 'r.x=1', 'seed=[1']);
  assert.equal(code, 'override-syntax');
  assert.equal(problems.length, 4);
});

test('bf16 and fp16 are words for dtype', () => {
  assert.equal(read(`${base}bf16: true`).recipe.dtype, 'bfloat16');
  assert.equal(read(`${base}fp16: true`).recipe.dtype, 'float16');
  assert.equal(read(`${base}bf16: true\ndtype: bfloat16`).recipe.dtype, 'bfloat16');
  assert.equal(read(base).recipe.dtype, 'auto');
});
