// A good recipe: defaults, presets, paths, overrides, and the resolved recipe that a run keeps.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue } from '../../../src/engine/catalogue';
import { UserError } from '../../../src/engine/errors';
import type { RecipeCatalogue } from '../../../src/engine/recipe/catalogue';
import { coreFields, recipeFields } from '../../../src/engine/recipe/fields';
import { formatRecipe } from '../../../src/engine/recipe/format';
import { loadRecipe } from '../../../src/engine/recipe/load';
import { applyOverrides } from '../../../src/engine/recipe/overrides';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { checkShape } from '../../../src/engine/recipe/shapes';
import { recipeName, validateRecipe } from '../../../src/engine/recipe/validate';

function read(text: string, set: string[] = [], from: RecipeCatalogue = catalogue, file = 'sql.lora.yaml') {
  const source = parseRecipe(new TextEncoder().encode(text), file, '/recipes');
  applyOverrides(source, set);
  return validateRecipe(source, from);
}

test('fills in the defaults', () => {
  const { recipe, notes } = read('model: m\ndataset: data/d.jsonl\n');
  assert.deepEqual(notes, []);
  assert.deepEqual(recipe.dataset, [{ path: '/recipes/data/d.jsonl', columns: {} }]);
  assert.equal(recipe.model, '/recipes/m');
  assert.equal(recipe.output_dir, '/recipes/runs/sql');
  assert.equal(recipe.name, 'sql');
  const expected = {
    adapter: 'lora',
    init_lora_weights: true,
    r: 16,
    lora_alpha: 32,
    lora_dropout: 0,
    target_modules: 'all-linear',
    learning_rate: 2e-4,
    lr_scheduler_type: 'cosine',
    warmup_ratio: 0.03,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 8,
    num_train_epochs: 3,
    max_length: 2048,
    packing: false,
    optim: 'adamw',
    seed: 42,
    data_seed: 42,
    max_grad_norm: 1,
    eval_strategy: 'no',
    save_strategy: 'epoch',
    per_device_eval_batch_size: 2,
    gradient_checkpointing: 'selective',
    eval_dataset: [],
    resume_from_checkpoint: false,
    preset: null,
  };
  for (const [key, value] of Object.entries(expected))
    assert.deepEqual(recipe[key as keyof typeof recipe], value, key);
});

test('every default fits its own description', () => {
  for (const field of recipeFields(catalogue)) {
    if (field.required || field.default === null) continue;
    assert.deepEqual(checkShape(field.default, field), [], field.key);
    assert.match(field.description, /\.$/, field.key);
  }
});

test('reads JSON as it reads YAML', () => {
  const yaml = read('model: m\ndataset: [a.jsonl, {path: b.csv, columns: {text: body}}]\nr: 8\n').recipe;
  const json = read(
    '{"model": "m",\n\t"dataset": ["a.jsonl", {"path": "b.csv", "columns": {"text": "body"}}], "r": 8}',
    [],
    catalogue,
    'sql.lora.json',
  ).recipe;
  assert.deepEqual(json, yaml);
  assert.deepEqual(yaml.dataset[1], { path: '/recipes/b.csv', columns: { text: 'body' } });
});

test('takes the forms that users write', () => {
  const { recipe } = read(
    'model: ~/m\ndataset: /d.jsonl\ngradient_checkpointing: true\nlayers_to_transform: 3\nlayers_pattern: h\n' +
      'learning_rate: 2e-4\ndevice: cuda:1\nmax_steps: ~\nval_size: 0.1\neval_steps: 5\nresume_from_checkpoint: runs/a\n',
  );
  assert.equal(recipe.model, join(homedir(), 'm'));
  assert.equal(recipe.dataset[0]!.path, '/d.jsonl');
  assert.equal(recipe.gradient_checkpointing, 'full');
  assert.deepEqual(recipe.layers_to_transform, [3]);
  assert.deepEqual(recipe.layers_pattern, ['h']);
  assert.equal(recipe.device, 'cuda:1');
  assert.equal(recipe.max_steps, -1);
  assert.equal(recipe.eval_strategy, 'steps');
  assert.equal(recipe.resume_from_checkpoint, '/recipes/runs/a');
});

test('takes values given before the preset, the preset before defaults', () => {
  assert.equal(read('model: m\ndataset: d\npreset: full\n').recipe.learning_rate, 2e-5);
  assert.equal(read('model: m\ndataset: d\npreset: full\n').recipe.adapter, 'none');
  assert.equal(read('model: m\ndataset: d\npreset: full\nlearning_rate: 1e-3\n').recipe.learning_rate, 1e-3);
});

test('a constant schedule drops the default warm-up', () => {
  assert.equal(read('model: m\ndataset: d\nlr_scheduler_type: constant\n').recipe.warmup_ratio, 0);
});

test('says which of max_steps and num_train_epochs counts', () => {
  assert.match(
    read('model: m\ndataset: d\nmax_steps: 5\nnum_train_epochs: 2\n').notes[0]!,
    /max_steps: 5 takes precedence/,
  );
});

test('applies overrides, into lists and mappings too', () => {
  const { recipe } = read('model: m\ndataset: [a, {path: b}]\nrank_pattern: {k: 2}\n', [
    'r=8',
    'dataset.1.path=c',
    'dataset.0=z',
    'rank_pattern.layers.0.q_proj=4',
    'target_modules=[q_proj, v_proj]',
    'packing=true',
    'chat_template="a=b"',
  ]);
  assert.equal(recipe.r, 8);
  assert.deepEqual(
    recipe.dataset.map(({ path }) => path),
    ['/recipes/z', '/recipes/c'],
  );
  assert.deepEqual({ ...recipe.rank_pattern }, { k: 2, 'layers.0.q_proj': 4 });
  assert.deepEqual(recipe.target_modules, ['q_proj', 'v_proj']);
  assert.equal(recipe.packing, true);
  assert.equal(recipe.chat_template, 'a=b');
});

test('an override never reaches a prototype', () => {
  assert.throws(() => read('model: m\ndataset: d\n', ['__proto__.polluted=1']), UserError);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

const withVariant: RecipeCatalogue = {
  ...catalogue,
  adapter: [
    ...catalogue.adapter,
    {
      id: 'made_up',
      label: 'Made up',
      summary: 'Shared random matrices.',
      fields: [
        {
          key: 'r',
          type: 'integer',
          minimum: 1,
          maximum: 4096,
          default: 256,
          group: 'adapter',
          description: 'Rank.',
        },
        { key: 'own_start', type: 'number', default: 0.1, group: 'adapter', description: 'Start of d.' },
      ],
      without: ['lora_alpha'],
      check: (recipe) => (recipe.bias === 'all' ? [{ where: 'bias', message: 'no bias with made_up.' }] : []),
    },
  ],
  init_lora_weights: [
    ...catalogue.init_lora_weights,
    {
      id: 'pissa',
      pattern: 'pissa(_niter_[0-9]+)?',
      label: 'PiSSA',
      summary: 'Principal components.',
      fields: [],
    },
  ],
};

test("a variant's own settings, defaults, bounds and checks come with it", () => {
  const { recipe } = read('model: m\ndataset: d\nadapter: made_up\nown_start: 0.2\n', [], withVariant);
  assert.equal(recipe.r, 256);
  assert.deepEqual(recipe.settings, { own_start: 0.2 });
  const problems = (text: string) => {
    try {
      read(`model: m\ndataset: d\n${text}`, [], withVariant);
    } catch (error) {
      return (error as UserError).problems.map(({ message }) => message).join();
    }
    return '';
  };
  assert.match(problems('own_start: 0.2\n'), /own_start belongs to adapter: made_up, which is not chosen/);
  assert.match(
    problems('adapter: made_up\nr: 5000\n'),
    /r: expected a whole number at least 1 and at most 4096/,
  );
  assert.match(
    problems('adapter: made_up\nlora_alpha: 5\n'),
    /lora_alpha has no effect with adapter: made_up/,
  );
  assert.match(problems('adapter: made_up\nbias: all\n'), /no bias with made_up/);
  assert.equal(problems('init_lora_weights: pissa_niter_16\n'), '');
  assert.match(problems('init_lora_weights: pissa_niter_x\n'), /not among/);
});

test('the resolved recipe reads back as itself', () => {
  const texts = [
    'model: m\ndataset: d\n',
    'model: m\ndataset: [a, {path: b, columns: {text: body}}]\neval_dataset: e\neval_steps: 5\nrank_pattern: {q: 4}\n',
    'model: m\ndataset: d\npreset: full\nval_size: 10\nlr_scheduler_type: constant\n',
    'model: m\ndataset: d\nadapter: made_up\nown_start: 0.3\nwarmup_steps: 4\nmax_steps: 7\n',
  ];
  for (const text of texts) {
    const { recipe } = read(text, [], withVariant);
    const again = read(formatRecipe(recipe, withVariant), [], withVariant, 'sql.lora.yaml').recipe;
    assert.deepEqual(again, recipe);
  }
});

test('loads a file and looks for what it names, all at once', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'recipe-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'x.lora.yaml');
  writeFileSync(file, 'model: m\ndataset: [d.jsonl, e.jsonl]\neval_dataset: f\n');
  assert.throws(
    () => loadRecipe(file, catalogue),
    (error: UserError) => {
      assert.equal(error.code, 'recipe-invalid');
      assert.deepEqual(
        error.problems.map(({ where }) => where),
        ['x.lora.yaml:1', 'x.lora.yaml:2', 'x.lora.yaml:2', 'x.lora.yaml:3'],
      );
      return true;
    },
  );
  mkdirSync(join(folder, 'm'));
  for (const name of ['d.jsonl', 'e.jsonl', 'f']) writeFileSync(join(folder, name), '');
  assert.equal(loadRecipe(file, catalogue, ['r=3']).recipe.r, 3);
  writeFileSync(join(folder, 't.jinja'), '{{ messages }}');
  assert.equal(loadRecipe(file, catalogue, ['chat_template=t.jinja']).recipe.chat_template, '{{ messages }}');
  assert.throws(() => loadRecipe(file, catalogue, ['chat_template=u.jinja']), {
    code: 'recipe-invalid',
    message: /u\.jinja cannot be read \(ENOENT\)/,
  });
  assert.throws(() => loadRecipe(folder, catalogue), { code: 'recipe-missing' });
  assert.throws(() => loadRecipe(join(folder, 'none'), catalogue), { code: 'recipe-missing' });
});

test('names a run by its recipe', () => {
  assert.equal(recipeName('llama-sql.lora.yaml'), 'llama-sql');
  assert.equal(recipeName('a.yml'), 'a');
  assert.equal(recipeName('.yaml'), 'run');
});

test('each key is described once', () => {
  const keys = coreFields(catalogue).map(({ key }) => key);
  assert.equal(new Set(keys).size, keys.length);
});
