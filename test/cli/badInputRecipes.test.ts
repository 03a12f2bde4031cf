// Mistakes in recipes and on the command line: each is refused through the real terminal with its line and a remedy.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { tinyWorkspace } from '../engine/train/tinyRun';
import { type BadInput, describeBadInput, Workspace, workbench } from './badInput';

/** A recipe in YAML below the two required lines; its first line is the file's third. */
function yaml(text: string, ...more: string[]): BadInput['spoil'] {
  return (at) => [...at.trainYaml(text), ...more];
}

/** A recipe as it stands. */
function whole(text: string | Uint8Array, name = 'tale.lora.yaml'): BadInput['spoil'] {
  return (at) => ['train', at.write(name, text)];
}

const invalid = { code: 'recipe-invalid' };
const syntax = { code: 'recipe-syntax' };
const usage = { code: 'usage' };

const cases: BadInput[] = [
  // The text.
  {
    name: 'two documents',
    ...syntax,
    spoil: whole('model: base\n---\nmodel: base\n'),
    says: /tale\.lora\.yaml:\d: .*document/,
  },
  { name: 'a tab', ...syntax, spoil: yaml('rank_pattern:\n\tq: 1\n'), says: /tale\.lora\.yaml:4: .*[Tt]ab/ },
  {
    name: 'a key given twice',
    ...syntax,
    spoil: yaml('r: 4\nr: 8\n'),
    says: /tale\.lora\.yaml:4: The same key/,
    human: true,
  },
  {
    name: 'broken JSON',
    ...syntax,
    spoil: whole('{\n"model": "base",\n}', 'tale.lora.json'),
    says: /tale\.lora\.json:3 is not valid JSON/,
  },
  { name: 'an empty recipe', ...syntax, spoil: whole(''), says: /tale\.lora\.yaml.*empty/ },
  { name: 'a list for a recipe', ...syntax, spoil: whole('- model: base\n'), says: /no mapping/ },
  {
    name: 'a recipe that is not text',
    ...syntax,
    spoil: whole(Uint8Array.of(0x6d, 0xff, 0xfe)),
    says: /tale\.lora\.yaml.*not UTF-8/,
  },
  {
    name: 'weights in place of the recipe',
    ...syntax,
    spoil: (at) => ['train', at.at('base', 'model.safetensors')],
    says: /model\.safetensors/,
  },
  {
    name: 'aliases that multiply',
    ...syntax,
    spoil: whole(
      `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((n, i) => `${n}: &${n} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}\n`,
    ),
    says: /aliases/,
  },
  {
    name: 'a recipe that is not there',
    code: 'recipe-missing',
    spoil: (at) => ['train', at.at('none.lora.yaml')],
    says: /none\.lora\.yaml does not exist/,
  },
  {
    name: 'a folder in place of the recipe',
    code: 'recipe-missing',
    spoil: (at) => ['train', at.at('base')],
    says: /base is a folder/,
  },
  // Keys and values.
  {
    name: 'an unknown key near a known one',
    ...invalid,
    spoil: yaml('learning_rte: 1e-4'),
    says: /tale\.lora\.yaml:3: learning_rte is no known setting/,
    remedy: /Write learning_rate instead/,
    human: true,
  },
  {
    name: 'an unknown key far from all',
    ...invalid,
    spoil: yaml('zzzzzz: 4'),
    says: /:3: zzzzzz is no known setting/,
    remedy: /Remove zzzzzz/,
  },
  {
    name: 'many mistakes at once',
    ...invalid,
    spoil: whole('dataset: train.jsonl\nr: 0\npackin: true\nlora_dropout: 1\nlearning_rate: fast\n'),
    says: /:2: r: .*:3: packin .*:4: lora_dropout: .*:5: learning_rate: .*model is missing/s,
    problems: 5,
  },
  { name: 'a word for a number', ...invalid, spoil: yaml('r: eight'), says: /:3: r: .*found "eight"/ },
  { name: 'a number out of range', ...invalid, spoil: yaml('learning_rate: -1'), says: /:3: .*found -1/ },
  { name: 'a number that is none', ...invalid, spoil: yaml('weight_decay: .nan'), says: /:3: .*NaN/ },
  {
    name: 'an adapter that is not available',
    ...invalid,
    spoil: yaml('adapter: oft'),
    says: /:3: adapter: oft is not available in this version/,
  },
  {
    name: 'an adapter that does not exist',
    ...invalid,
    spoil: yaml('adapter: loar'),
    says: /:3: adapter: "loar" is not among/,
    remedy: /Write lora/,
  },
  {
    name: 'settings that contradict each other',
    ...invalid,
    spoil: yaml('eval_dataset: eval.jsonl\nval_size: 0.1'),
    says: /:4: val_size and eval_dataset are both given/,
  },
  {
    name: 'orthogonal factors of odd rank',
    ...invalid,
    spoil: yaml('init_lora_weights: orthogonal\nr: 7'),
    says: /:4: init_lora_weights: orthogonal needs an even .*found 7/,
    remedy: /[Ss]et r/,
  },
  {
    name: 'layers_pattern alone',
    ...invalid,
    spoil: yaml('layers_pattern: h'),
    says: /:3: layers_pattern .*without layers_to_transform/,
  },
  {
    name: 'a broken expression',
    ...invalid,
    spoil: yaml('target_modules: "(q_proj"'),
    says: /:3: .*regular expression/,
  },
  {
    name: 'no model and no dataset',
    ...invalid,
    spoil: whole('r: 4\n'),
    says: /model is missing.*dataset is missing/s,
    problems: 2,
  },
  {
    name: 'paths that lead nowhere',
    ...invalid,
    spoil: whole('model: elsewhere\ndataset: [train.jsonl, nowhere.jsonl]\n'),
    says: /:1: model: there is no folder .*elsewhere.*:2: dataset: there is no file .*nowhere\.jsonl/s,
    problems: 2,
  },
  {
    name: 'a hub name in place of a folder',
    ...invalid,
    spoil: whole('model: org/name\ndataset: train.jsonl\n'),
    says: /:1: model: there is no folder/,
    remedy: /downloaded/,
  },
  {
    name: 'an override of an unknown key',
    ...invalid,
    spoil: yaml('', '--set', 'lora_rnak=4'),
    says: /--set lora_rnak=4: lora_rnak is no known setting/,
  },
  {
    name: 'overrides that cannot be read',
    code: 'override-syntax',
    spoil: yaml('', '--set', 'seed=[1', '--set', '=3'),
    says: /seed=\[1.*=3/s,
    problems: 2,
  },
  // What only the model can tell.
  {
    name: 'target_modules that match nothing',
    spoil: yaml('target_modules: [q_prj, vproj]'),
    code: 'targets-not-found',
    says: /target_modules.*q_prj/s,
    remedy: /q_proj/,
    human: true,
  },
  {
    name: 'an expression that matches nothing',
    spoil: yaml('target_modules: "encoder\\\\..*"'),
    code: 'targets-not-found',
    says: /target_modules/,
  },
  {
    name: 'layers that the model does not have',
    spoil: yaml('layers_to_transform: [7]'),
    code: 'targets-not-found',
    says: /layers_to_transform/,
  },
  {
    name: 'every module excluded',
    spoil: yaml('exclude_modules: ".*_proj"'),
    code: 'targets-not-found',
    says: /exclude_modules/,
  },
  {
    name: 'an expression that takes for ever',
    spoil: yaml('target_modules: "(([a-z_.0-9]+)+)+#"'),
    code: 'regex-runs-away',
    says: /target_modules: the pattern .* tries too many ways/,
  },
  {
    name: 'a device that this machine lacks',
    spoil: yaml('device: cuda:7'),
    code: 'device-unavailable',
    says: /cuda/,
    remedy: /cpu|doctor/,
  },
  {
    name: 'a template that is not there',
    ...invalid,
    spoil: yaml('chat_template: nowhere.jinja'),
    says: /:3: chat_template: .*nowhere\.jinja cannot be read/,
  },
  // The command line.
  {
    name: 'an unknown command',
    ...usage,
    spoil: () => ['trian'],
    says: /Unknown command 'trian'/,
    remedy: /Write train/,
    human: true,
  },
  { name: 'an unknown option', ...usage, spoil: yaml('', '--sett', 'r=8'), says: /Unknown option '--sett'/ },
  { name: 'no recipe', ...usage, spoil: () => ['train'], says: /train needs a recipe/ },
  { name: 'an unknown device', ...usage, spoil: yaml('', '--device', 'gpu'), says: /--device takes .*"gpu"/ },
  { name: 'half a thread', ...usage, spoil: yaml('', '--threads', '0.5'), says: /--threads takes .*"0\.5"/ },
  {
    name: 'negative numbers',
    ...usage,
    spoil: (at) => ['generate', '--model', at.at('base'), '--prompt', 'a', '--max-new-tokens', '-3'],
    says: /--max-new-tokens takes a whole number from 1.*"-3"/,
  },
  {
    name: 'a missing option',
    ...usage,
    spoil: (at) => ['evaluate', '--model', at.at('base')],
    says: /--data/,
    remedy: /evaluate --help/,
  },
  {
    name: 'an output_dir that is empty',
    ...invalid,
    spoil: yaml('output_dir: ""'),
    says: /:3: output_dir/,
  },
  {
    name: 'a folder where a recipe of another program has none of ours',
    ...invalid,
    spoil: (at) => {
      mkdirSync(at.at('elsewhere'));
      return [
        'train',
        at.write(
          'axolotl.yaml',
          'base_model: base\ndatasets:\n  - path: nowhere.jsonl\n    type: alpaca\nadapter: lora\n',
        ),
      ];
    },
    says: /dataset.*nowhere\.jsonl/,
  },
];

describeBadInput('a bad recipe or command line', cases);

test('accepts a rank above the sizes of the matrices', async () => {
  const { folder, clean } = await tinyWorkspace();
  try {
    const { code, out, err } = await workbench([...new Workspace(folder).train({ r: 96 }), '--json']);
    assert.equal(code, 0, err);
    assert.equal(JSON.parse(out).steps, 2);
  } finally {
    clean();
  }
});
