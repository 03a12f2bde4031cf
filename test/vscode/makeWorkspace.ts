// Makes the workspace that the suites run on: a tiny model with random weights, data, recipes good and broken, adapters good
// and broken, a run of an earlier day, and a hundred odd files. Argument: its folder.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeSafetensors } from '../../src/engine/checkpoint/safetensors';
import { elements } from '../../src/engine/dtype';
import { modelTensors } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { Random } from '../../src/engine/random';

const config = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 1024,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 0,
};

const small = `adapter: lora
r: 4
lora_alpha: 8
learning_rate: 5.0e-3
max_length: 64
per_device_train_batch_size: 2
gradient_accumulation_steps: 1
threads: 1
`;

async function make(folder: string): Promise<void> {
  const write = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  write('models/tiny/config.json', JSON.stringify(config));
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join('samples', 'base', name), join(folder, 'models/tiny', name));
  const random = new Random(11);
  const model = modelFromConfig(config);
  const tensors = modelTensors(model).map(({ name, shape }) => ({
    name,
    shape,
    dtype: 'F32' as const,
    data: Float32Array.from({ length: elements(shape) }, () =>
      shape.length === 1 ? 1 : 0.15 * random.normal(),
    ),
  }));
  await writeSafetensors(join(folder, 'models/tiny/model.safetensors'), tensors, { format: 'pt' });

  const row = (i: number): string =>
    JSON.stringify({ prompt: `Say ${i}: `, completion: `the number ${i * i} is the square of ${i}.` });
  write('data/train.jsonl', Array.from({ length: 24 }, (_, i) => row(i)).join('\n'));
  write('data/eval.jsonl', Array.from({ length: 4 }, (_, i) => row(i)).join('\n'));
  write('data/empty.jsonl', '');

  const paths = 'model: models/tiny\ndataset: data/train.jsonl\n';
  write(
    'tiny.lora.yaml',
    `${paths}eval_dataset: data/eval.jsonl\noutput_dir: runs/tiny\n${small}max_steps: 6\neval_steps: 3\n`,
  );
  write(
    'long.lora.yaml',
    `${paths}output_dir: runs/long\n${small}max_steps: 100000\nsave_steps: 5\nsave_total_limit: 1\n`,
  );
  write('other.lora.json', JSON.stringify({ model: 'models/tiny', dataset: 'data/train.jsonl' }));
  write(
    'broken/mistakes.lora.yaml',
    'model: nowhere\ndataset: ../data/train.jsonl\nlerning_rate: 1\nr: -3\nadapter: lorra\n',
  );
  write('broken/syntax.lora.yaml', 'model: [\n  dataset: "x\n');
  write('broken/binary.lora.json', new Uint8Array([0, 255, 1, 254]));

  const adapterConfig = {
    peft_type: 'LORA',
    r: 4,
    lora_alpha: 8,
    base_model_name_or_path: 'models/tiny',
    target_modules: ['q_proj'],
  };
  const weights = (rank: number) =>
    ['A', 'B'].map((letter) => ({
      name: `base_model.model.model.layers.0.self_attn.q_proj.lora_${letter}.weight`,
      shape: letter === 'A' ? [rank, 32] : [32, rank],
      dtype: 'F32' as const,
      data: new Float32Array(32 * rank).fill(0.01),
    }));
  write('adapters/good/adapter_config.json', JSON.stringify(adapterConfig));
  await writeSafetensors(join(folder, 'adapters/good/adapter_model.safetensors'), weights(4), {
    format: 'pt',
  });
  write(
    'adapters/elsewhere/adapter_config.json',
    JSON.stringify({ ...adapterConfig, base_model_name_or_path: 'someone/some-model' }),
  );
  await writeSafetensors(join(folder, 'adapters/elsewhere/adapter_model.safetensors'), weights(4), {
    format: 'pt',
  });
  write(
    'adapters/mismatched/adapter_config.json',
    JSON.stringify({ ...adapterConfig, base_model_fingerprint: `sha256:${'0'.repeat(64)}` }),
  );
  await writeSafetensors(join(folder, 'adapters/mismatched/adapter_model.safetensors'), weights(4), {
    format: 'pt',
  });
  write('adapters/torn/adapter_config.json', JSON.stringify(adapterConfig));
  write(
    'adapters/torn/adapter_model.safetensors',
    new Uint8Array([255, 255, 255, 255, 255, 255, 255, 127, 123]),
  );
  write('adapters/no-json/adapter_config.json', '{ "r": ');
  write('adapters/no-weights/adapter_config.json', JSON.stringify(adapterConfig));
  write('adapters/no-weights/adapter_model.safetensors', '');

  const time = '2024-05-04T10:00:00.000Z';
  const plan = { totalSteps: 10, stepsPerEpoch: 10 };
  const events: unknown[] = [
    { type: 'run-started', run: join(folder, 'runs/old'), pid: 1, plan, resumedFromStep: null, time },
  ];
  for (let step = 1; step <= 4; step++)
    events.push({
      type: 'step',
      step,
      epoch: step / 10,
      loss: 3 / step,
      learningRate: 1e-3,
      gradNorm: 1,
      tokens: 9,
      tokensPerSecond: 90,
      peakMemoryBytes: 1e6,
      etaSeconds: 6,
      time,
    });
  events.push({
    type: 'checkpoint',
    step: 4,
    path: join(folder, 'runs/old/checkpoints/step-4'),
    reason: 'steps',
    time,
  });
  write('runs/old/recipe.yaml', paths);
  // The last line is torn, as a kill leaves it.
  write(
    'runs/old/events.jsonl',
    `${events.map((event) => JSON.stringify(event)).join('\n')}\n{"type":"step","st`,
  );
  write('runs/garbage/recipe.yaml', '\u0000');
  write('runs/garbage/events.jsonl', new Uint8Array(4096).fill(200));

  const names = [
    'notes.txt',
    'ünïcödé 名前.md',
    'a b',
    '.hidden',
    'x.json',
    'config.json',
    'weights.bin',
    "quote's.csv",
    'events.jsonl.bak',
    'README',
  ];
  for (let i = 0; i < 100; i++)
    write(`odd/${i % 10}/${i}-${names[i % names.length]}`, new Uint8Array(i).fill(i));
  for (let i = 0; i < 300; i++) write(`node_modules/p${i}/adapter_config.json`, '{}');
}

void make(process.argv[2]!);
