// Recipes of LLaMA-Factory, Axolotl and TRL/PEFT, as their users write them, become ours; what has no counterpart is said.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogue } from '../../../src/engine/catalogue';
import type { UserError } from '../../../src/engine/errors';
import { quantFormatOf } from '../../../src/engine/quantization/entries';
import { detectDialect, dialects, importNotes, importRecipe } from '../../../src/engine/recipe/aliases';
import { recipeFields } from '../../../src/engine/recipe/fields';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { validateRecipe } from '../../../src/engine/recipe/validate';

const ownKeys = new Set(recipeFields(catalogue).map((field) => field.key));

function read(text: string, folder = '/recipes') {
  const { source, report } = importRecipe(
    parseRecipe(new TextEncoder().encode(text), 'x.yaml', folder),
    ownKeys,
  );
  return { ...validateRecipe(source, catalogue), report };
}

function messagesOf(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    return (error as UserError).problems.map(({ where, message }) => `${where} ${message}`);
  }
  return [];
}

const llamaFactory = `
### model
model_name_or_path: models/Llama-3-8B
trust_remote_code: true

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all

### dataset
dataset: identity,alpaca_en_demo
template: llama3
cutoff_len: 1024
overwrite_cache: true
preprocessing_num_workers: 16
dataloader_num_workers: 4

### output
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null

### eval
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
`;

test('reads a recipe of LLaMA-Factory, its datasets by dataset_info.json', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'factory-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'data'));
  writeFileSync(
    join(folder, 'data', 'dataset_info.json'),
    JSON.stringify({
      identity: { file_name: 'identity.json' },
      alpaca_en_demo: { file_name: 'chat.json', formatting: 'sharegpt', columns: { messages: 'turns' } },
    }),
  );
  const { recipe, report } = read(llamaFactory, folder);
  assert.equal(report.dialect, 'LLaMA-Factory');
  const expected = {
    model: join(folder, 'models/Llama-3-8B'),
    dataset: [
      { path: join(folder, 'data/identity.json'), columns: {} },
      { path: join(folder, 'data/chat.json'), columns: { conversations: 'turns' } },
    ],
    adapter: 'lora',
    r: 8,
    target_modules: 'all-linear',
    max_length: 1024,
    output_dir: join(folder, 'saves/llama3-8b/lora/sft'),
    logging_steps: 10,
    save_steps: 500,
    save_strategy: 'steps',
    report_to: 'none',
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 8,
    learning_rate: 1e-4,
    num_train_epochs: 3,
    lr_scheduler_type: 'cosine',
    warmup_ratio: 0.1,
    dtype: 'bfloat16',
    val_size: 0.1,
    per_device_eval_batch_size: 1,
    eval_strategy: 'steps',
    eval_steps: 500,
  };
  for (const [key, value] of Object.entries(expected))
    assert.deepEqual(recipe[key as keyof typeof recipe], value, key);
  const dropped = report.ignored.map(({ key }) => key);
  for (const key of ['template', 'overwrite_cache', 'plot_loss', 'ddp_timeout', 'trust_remote_code'])
    assert.ok(dropped.includes(key), key);
  const notes = importNotes(report).join('\n');
  assert.match(notes, /lora_rank → r/);
  assert.match(notes, /template has no counterpart: .*chat template/);
});

const axolotl = `
base_model: models/Llama-3.2-1B
load_in_8bit: false
load_in_4bit: false
strict: false
datasets:
  - path: data/alpaca.jsonl
    type: alpaca
  - path: data/chat.jsonl
    type: chat_template
    field_messages: turns
  - path: data
    data_files: [a.txt, b.txt]
    type: completion
dataset_prepared_path: last_run_prepared
val_set_size: 0.05
output_dir: ./outputs/out
adapter: lora
lora_model_dir:
sequence_len: 2048
sample_packing: true
pad_to_sequence_len: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
lora_fan_in_fan_out:
wandb_project:
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
train_on_inputs: false
group_by_length: false
bf16: auto
tf32: false
gradient_checkpointing: true
early_stopping_patience:
resume_from_checkpoint:
logging_steps: 1
flash_attention: true
warmup_steps: 10
evals_per_epoch: 1
saves_per_epoch: 1
weight_decay: 0.0
special_tokens:
  pad_token: "<|end_of_text|>"
`;

test('reads a recipe of Axolotl', () => {
  const { recipe, report } = read(axolotl);
  assert.equal(report.dialect, 'Axolotl');
  const expected = {
    model: '/recipes/models/Llama-3.2-1B',
    adapter: 'lora',
    r: 32,
    lora_alpha: 16,
    lora_dropout: 0.05,
    target_modules: 'all-linear',
    max_length: 2048,
    packing: true,
    gradient_accumulation_steps: 4,
    per_device_train_batch_size: 2,
    num_train_epochs: 4,
    optim: 'adamw',
    lr_scheduler_type: 'cosine',
    learning_rate: 2e-4,
    train_on: 'completions',
    dtype: 'auto',
    val_size: 0.05,
    gradient_checkpointing: 'full',
    warmup_steps: 10,
    warmup_ratio: 0,
    eval_strategy: 'epoch',
    save_strategy: 'epoch',
    weight_decay: 0,
    output_dir: '/recipes/outputs/out',
    load_in_4bit: false,
    early_stopping_patience: null,
  };
  for (const [key, value] of Object.entries(expected))
    assert.deepEqual(recipe[key as keyof typeof recipe], value, key);
  assert.deepEqual(recipe.dataset, [
    { path: '/recipes/data/alpaca.jsonl', columns: { instruction: 'instruction', output: 'output' } },
    { path: '/recipes/data/chat.jsonl', columns: { messages: 'turns' } },
    { path: '/recipes/a.txt', columns: {} },
    { path: '/recipes/b.txt', columns: {} },
  ]);
});

const trl = `
model_name_or_path: models/Qwen2-0.5B
dataset_name: data/capybara.jsonl
learning_rate: 2.0e-4
num_train_epochs: 1
packing: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
gradient_checkpointing: true
eval_strategy: "no"
use_peft: true
lora_r: 32
lora_alpha: 16
lora_target_modules: [q_proj, v_proj]
lora_modules_to_save: [lm_head]
load_in_4bit: false
bnb_4bit_quant_type: nf4
max_length: 512
torch_dtype: bfloat16
attn_implementation: flash_attention_2
completion_only_loss: false
optim: adamw_torch
report_to: [tensorboard, wandb]
bf16: true
max_steps: -1
`;

test('reads a recipe of TRL and PEFT', () => {
  const { recipe, report } = read(trl);
  assert.equal(report.dialect, 'TRL/PEFT');
  const expected = {
    model: '/recipes/models/Qwen2-0.5B',
    r: 32,
    lora_alpha: 16,
    target_modules: ['q_proj', 'v_proj'],
    modules_to_save: ['lm_head'],
    packing: true,
    max_length: 512,
    dtype: 'bfloat16',
    train_on: 'all',
    optim: 'adamw',
    report_to: 'tensorboard',
    load_in_4bit: false,
    gradient_checkpointing: 'full',
    learning_rate: 2e-4,
    eval_strategy: 'no',
  };
  for (const [key, value] of Object.entries(expected))
    assert.deepEqual(recipe[key as keyof typeof recipe], value, key);
  assert.deepEqual(recipe.dataset, [{ path: '/recipes/data/capybara.jsonl', columns: {} }]);
});

test('a foreign recipe keeps its own lines in what is wrong with it', () => {
  assert.deepEqual(messagesOf('base_model: m\ndatasets:\n  - path: d\nlora_r: 0\n'), [
    'x.yaml:4 r: expected a whole number at least 1 and at most 65536, found 0.',
  ]);
});

test('what would change the result is refused, all at once', () => {
  const problems = messagesOf(
    'model_name_or_path: m\ndataset: d.json\nstage: dpo\nfinetuning_type: freeze\ndeepspeed: z3.json\nmax_samples: 100\nlora_rnak: 3\n',
  );
  assert.equal(problems.length, 5, problems.join('\n'));
  assert.match(problems[0]!, /^x.yaml:3 stage asks for stage: dpo, which is not available/);
  assert.match(problems[4]!, /lora_rnak is no setting of LLaMA-Factory/);
});

test('4-bit recipes become ours, with the defaults of where they come from', () => {
  const quantised = (text: string) => {
    const { recipe } = read(text);
    return [recipe.load_in_4bit, quantFormatOf(recipe)];
  };
  const nf4 = { quantType: 'nf4', blockSize: 64, doubleQuant: false };
  assert.deepEqual(quantised('base_model: m\ndatasets: [{path: d}]\nadapter: qlora\nload_in_4bit: true\n'), [
    true,
    { ...nf4, doubleQuant: true },
  ]);
  assert.deepEqual(
    quantised('model_name_or_path: m\ndataset: d.json\nquantization_bit: 4\nfinetuning_type: lora\n'),
    [true, { ...nf4, doubleQuant: true }],
  );
  assert.deepEqual(
    quantised('model_name_or_path: m\ndataset_name: d\nload_in_4bit: true\nbnb_4bit_quant_type: fp4\n'),
    [true, { ...nf4, quantType: 'fp4' }],
  );
  assert.match(
    messagesOf('model_name_or_path: m\ndataset_name: d\nload_in_8bit: true\n').join(),
    /asks for a base in 8 bits \(load_in_4bit holds it in 4\)/,
  );
});

test('our own recipes are ours, and may borrow a name', () => {
  assert.equal(detectDialect({ model: 'm', dataset: 'd', lora_r: 4 }), null);
  const { recipe, report } = read('model: m\ndataset: d\nlora_r: 4\nmax_seq_length: 64\n');
  assert.equal(recipe.r, 4);
  assert.equal(recipe.max_length, 64);
  assert.deepEqual(importNotes(report), ['Taken over: lora_r → r, max_seq_length → max_length.']);
});

test('every renamed key of every dialect exists here', () => {
  for (const { name, keys, markers } of dialects) {
    for (const [from, to] of Object.entries(keys))
      if (typeof to === 'string') assert.ok(ownKeys.has(to), `${name}: ${from} → ${to}`);
    for (const marker of markers) assert.ok(marker in keys || marker === 'datasets', `${name}: ${marker}`);
  }
});
