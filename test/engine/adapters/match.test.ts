import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MatchOptions, type ModuleInfo, matchModules } from '../../../src/engine/adapters/match';
import { minimalSuffixes, patternsForFile, targetsForFile } from '../../../src/engine/adapters/matchFile';
import { translate } from '../../../src/engine/adapters/pythonRegex';
import { AdapterError } from '../../../src/engine/errors';
import { type ExpectedFailure, fails } from '../files/scratch';

const of = (paths: string[], kind: ModuleInfo['kind']): ModuleInfo[] => paths.map((path) => ({ path, kind }));
const layers = [...Array(12).keys()];
const llama: ModuleInfo[] = [
  ...of(['model.embed_tokens'], 'embedding'),
  ...layers.flatMap((i) => [
    ...of(
      [
        'self_attn.q_proj',
        'self_attn.k_proj',
        'self_attn.v_proj',
        'self_attn.o_proj',
        'mlp.gate_proj',
        'mlp.up_proj',
        'mlp.down_proj',
      ].map((name) => `model.layers.${i}.${name}`),
      'linear',
    ),
    ...of([`model.layers.${i}.input_layernorm`, `model.layers.${i}.post_attention_layernorm`], 'norm'),
  ]),
  ...of(['model.norm'], 'norm'),
  ...of(['lm_head'], 'head'),
];
const gpt2: ModuleInfo[] = layers.flatMap((i) =>
  of(
    ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map((name) => `transformer.h.${i}.${name}`),
    'conv1d',
  ),
);

function match(options: Partial<MatchOptions>, modules = llama, defaults?: string[]) {
  return matchModules({ r: 8, lora_alpha: 16, target_modules: null, ...options }, modules, defaults);
}
const count = (options: Partial<MatchOptions>, modules = llama, defaults?: string[]) =>
  match(options, modules, defaults).targets.length;

test('lists match whole dotted suffixes', () => {
  assert.equal(count({ target_modules: ['q_proj'] }), 12);
  assert.equal(count({ target_modules: ['self_attn.q_proj', 'model.layers.3.mlp.up_proj'] }), 13);
  assert.deepEqual(
    match({ target_modules: ['q_proj', 'proj', '_proj'] }).unmatched.map(({ entry }) => entry),
    ['proj', '_proj'],
  );
  assert.equal(count({ target_modules: ['c_proj'] }, gpt2), 24, 'attention and MLP');
  assert.equal(count({ target_modules: ['attn.c_proj'] }, gpt2), 12);
});

test('strings are regular expressions for the whole path', () => {
  assert.equal(count({ target_modules: '.*q_proj' }), 12);
  assert.equal(count({ target_modules: String.raw`.*\.(q|v)_proj` }), 24);
  assert.equal(count({ target_modules: String.raw`model\.layers\.(?:1|11)\.(?!mlp).*_proj` }), 8);
  assert.equal(count({ target_modules: String.raw`(?i).*\.Q_PROJ\Z` }), 12);
  assert.equal(count({ target_modules: String.raw`.*\.(?P<which>q|k)_proj(?#note)` }), 24);
  assert.equal(count({ target_modules: '.*[0-9].self_attn.[^]kvo]_proj' }), 12);
});

test('all-linear is every linear layer but the head; null means the defaults', () => {
  assert.equal(count({ target_modules: 'all-linear' }), 84);
  assert.equal(count({ target_modules: 'all-linear' }, gpt2), 48);
  assert.equal(count({}, llama, ['q_proj', 'v_proj']), 24);
  assert.equal(
    count({ target_modules: ['lm_head', 'embed_tokens'] }),
    2,
    'head and embedding when they are named',
  );
});

test('exclusions win; saved modules and what lies below them are not adapted', () => {
  assert.equal(count({ target_modules: 'all-linear', exclude_modules: ['down_proj'] }), 72);
  assert.equal(count({ target_modules: 'all-linear', exclude_modules: String.raw`.*\.mlp\..*` }), 48);
  assert.equal(count({ target_modules: 'all-linear', modules_to_save: ['layers.0'] }), 77);
  const norms = match({ target_modules: ['q_proj'], modules_to_save: ['norm', 'lm_head'] });
  assert.equal(norms.saved.length, 26, '"norm" is a bare ending: the layer norms too');
  assert.equal(norms.targets.length, 12);
});

test('layers are picked by the last number after two names, or after layers_pattern', () => {
  assert.deepEqual(
    match({ target_modules: ['q_proj'], layers_to_transform: 3 }).targets.map(({ path }) => path),
    ['model.layers.3.self_attn.q_proj'],
  );
  assert.equal(count({ target_modules: ['q_proj', 'v_proj'], layers_to_transform: [0, 11, 99] }), 4);
  assert.equal(count({ target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: 'layers' }), 1);
  assert.equal(count({ target_modules: ['q_proj'], layers_to_transform: [] }), 12);
  const experts = of(['model.layers.0.experts.5.w1', 'model.layers.5.experts.0.w1'], 'linear');
  const first = (options: Partial<MatchOptions>) =>
    match({ target_modules: ['w1'], ...options }, experts).targets.map(({ path }) => path);
  assert.deepEqual(first({ layers_to_transform: [5] }), ['model.layers.0.experts.5.w1']);
  assert.deepEqual(first({ layers_to_transform: [5], layers_pattern: ['layers'] }), [
    'model.layers.5.experts.0.w1',
  ]);
  // A whole path is not asked for its layer.
  assert.equal(
    count({ target_modules: ['model.layers.7.mlp.up_proj', 'q_proj'], layers_to_transform: [2] }),
    2,
  );
});

test('patterns give rank and alpha by the first match', () => {
  const { targets, unmatched } = match({
    target_modules: 'all-linear',
    rank_pattern: { 'mlp.down_proj': 4, down_proj: 2, '^model.layers.1.self_attn.q_proj': 32, nothing: 9 },
    alpha_pattern: { 'layers\\.[01]\\..*': 2.5 },
  });
  const of = (path: string) => targets.find((module) => module.path === path)!;
  assert.equal(of('model.layers.0.mlp.down_proj').r, 4);
  assert.equal(of('model.layers.1.self_attn.q_proj').r, 32);
  assert.equal(of('model.layers.11.self_attn.q_proj').r, 8);
  assert.equal(of('model.layers.1.mlp.up_proj').alpha, 2.5);
  assert.equal(of('model.layers.11.mlp.up_proj').alpha, 16);
  assert.deepEqual(
    unmatched.map(({ setting, entry }) => [setting, entry]),
    [['rank_pattern', 'nothing']],
  );
});

test('each entry that matched nothing is named, with what is near', () => {
  const { unmatched } = match({
    target_modules: ['q_proj', 'v_prj', 'gate'],
    exclude_modules: ['zzz'],
    modules_to_save: ['head'],
  });
  assert.deepEqual(
    unmatched.map(({ setting, entry, nearest }) => [setting, entry, nearest[0]]),
    [
      ['exclude_modules', 'zzz', undefined],
      ['target_modules', 'v_prj', 'v_proj'],
      ['target_modules', 'gate', undefined],
    ],
  );
});

test('targets for the file: sorted, never all-linear, long lists as shortest suffixes', () => {
  const forFile = (target_modules: MatchOptions['target_modules'], modules = llama) =>
    targetsForFile(target_modules, match({ target_modules }, modules, ['q_proj', 'v_proj']).targets, modules);
  assert.deepEqual(forFile('all-linear'), [
    'down_proj',
    'gate_proj',
    'k_proj',
    'o_proj',
    'q_proj',
    'up_proj',
    'v_proj',
  ]);
  assert.deepEqual(forFile(null), ['q_proj', 'v_proj']);
  assert.deepEqual(forFile(['v_proj', 'q_proj']), ['q_proj', 'v_proj']);
  assert.equal(forFile('.*q_proj'), '.*q_proj');
  assert.deepEqual(forFile(llama.filter(({ path }) => /[qk]_proj/.test(path)).map(({ path }) => path)), [
    'k_proj',
    'q_proj',
  ]);
  assert.deepEqual(
    minimalSuffixes(['h.0.attn.c_proj', 'h.1.attn.c_proj'], ['h.0.mlp.c_proj', 'h.1.mlp.c_proj']),
    ['attn.c_proj'],
  );
  assert.deepEqual(minimalSuffixes(['a.x'], ['b.a.x']), ['a.x']);
});

test('overlapping patterns survive the sorting of keys in the file', () => {
  const options = {
    r: 8,
    lora_alpha: 16,
    target_modules: ['q_proj', 'v_proj'],
    rank_pattern: { '.*_proj': 2, '.*1.*q_proj': 4 },
    alpha_pattern: { q_proj: 5 },
  };
  const { targets } = match(options);
  const file = patternsForFile(options, targets);
  assert.deepEqual(file.alpha_pattern, { q_proj: 5 });
  const again = match({ ...options, ...file }).targets;
  assert.deepEqual(again, targets);
});

const bad: {
  name: string;
  options: Partial<MatchOptions>;
  code: string;
  says: ExpectedFailure['says'];
  remedy?: RegExp;
}[] = [
  {
    name: 'nothing found',
    options: { target_modules: ['q_porj', 'nope'] },
    code: 'targets-not-found',
    says: ['q_porj, nope', 'q_proj'],
    remedy: /q_proj/,
  },
  {
    name: 'regex finds nothing',
    options: { target_modules: 'q_proj' },
    code: 'targets-not-found',
    says: ['"q_proj"'],
  },
  {
    name: 'all excluded',
    options: { target_modules: ['q_proj'], exclude_modules: ['q_proj'] },
    code: 'targets-not-found',
    says: ['exclude_modules'],
  },
  {
    name: 'no such layer',
    options: { target_modules: ['q_proj'], layers_to_transform: [99] },
    code: 'targets-not-found',
    says: ['layers_to_transform'],
  },
  {
    name: 'empty list',
    options: { target_modules: [] },
    code: 'target-settings-invalid',
    says: ['target_modules', 'empty'],
  },
  {
    name: 'norm targeted',
    options: { target_modules: ['input_layernorm'] },
    code: 'target-not-adaptable',
    says: ['model.layers.0.input_layernorm', 'norm'],
  },
  {
    name: 'layers_pattern alone',
    options: { target_modules: ['q_proj'], layers_pattern: 'layers' },
    code: 'target-settings-invalid',
    says: ['layers_pattern', 'layers_to_transform'],
  },
  {
    name: 'regex and layers',
    options: { target_modules: '.*q_proj', layers_to_transform: [1] },
    code: 'target-settings-invalid',
    says: ['layers_to_transform', 'regular expression'],
  },
  {
    name: 'broken regex',
    options: { target_modules: '(q_proj' },
    code: 'regex-unsupported',
    says: ['target_modules', '(q_proj'],
  },
  {
    name: 'regex of patterns',
    options: { target_modules: ['q_proj'], rank_pattern: { '*': 4, '[': 3 } },
    code: 'regex-unsupported',
    says: ['rank_pattern', '"*"', '"["'],
  },
  {
    name: 'runaway regex',
    options: { target_modules: '((.*)*)*x!' },
    code: 'regex-runs-away',
    says: ['target_modules', '((.*)*)*x!'],
  },
];
for (const { name, options, code, says, remedy = /./ } of bad) {
  test(`module selection: ${name}`, async () => {
    const error = await fails(() => match(options), { class: AdapterError, code, says });
    assert.match(error.remedy, remedy);
  });
}

test('what Python and JavaScript read differently is translated or refused', () => {
  const translated: [string, string][] = [
    [String.raw`\Aq{,2}\Z`, '^q{0,2}$'],
    ['(?P<a>x)(?P=a)', String.raw`(?<a>x)\k<a>`],
    ['[]a]', String.raw`[\]a]`],
    ['[^]a[]', String.raw`[^\]a\[]`],
    ['(?s)a.(?#c)b', 'a.b'],
    [String.raw`\a\.\d`, String.raw`\x07\.\d`],
  ];
  for (const [pattern, source] of translated) assert.equal(translate(pattern).source, source);
  const refused = [
    'a++',
    'a*+',
    '(?>a)',
    '(a)(?(1)b|c)',
    '(?i:a)',
    '(?x)a',
    String.raw`\pL`,
    String.raw`\N{DIGIT}`,
    'a\\',
    '[a',
    '(?<n>a)',
    'x'.repeat(20_001),
  ];
  for (const pattern of refused)
    assert.throws(() => translate(pattern), { name: 'Error' }, pattern.slice(0, 30));
});
