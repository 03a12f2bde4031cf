// Adapters that are damaged or belong elsewhere, and the commands that take them, through the real terminal: evaluate,
// generate and merge refuse them with their place and a remedy and write nothing.
import assert from 'node:assert/strict';
import { mkdirSync, renameSync } from 'node:fs';
import {
  type BadInput,
  describeBadInput,
  lfsPointer,
  type StoredTensor,
  safetensors,
  type Workspace,
  workbench,
} from './badInput';

const config = 'tuned/adapter_config.json';
const weights = 'tuned/adapter_model.safetensors';
const factor = 'base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight';

/** A trained adapter in `tuned`, and no run. */
async function prepare(at: Workspace): Promise<void> {
  const { code, err } = await workbench(at.train({ target_modules: ['q_proj', 'v_proj'] }));
  assert.equal(code, 0, err);
  renameSync(at.at('runs', 'tale', 'adapter'), at.at('tuned'));
  at.remove('runs');
}

type Command = (at: Workspace, adapter?: string) => string[];

const evaluate: Command = (at, adapter = 'tuned') => [
  ...['evaluate', '--model', at.at('base'), '--data', at.at('eval.jsonl')],
  ...['--adapter', at.at(adapter), '--threads', '1'],
];
const generate: Command = (at, adapter = 'tuned') => [
  ...['generate', '--model', at.at('base'), '--prompt', 'Say', '--max-new-tokens', '4'],
  ...['--adapter', at.at(adapter), '--threads', '1'],
];
const merge: Command = (at, adapter = 'tuned') => [
  ...['merge', '--model', at.at('base'), '--adapter', at.at(adapter)],
  ...['--out', at.at('merged'), '--threads', '1'],
];

/** Runs the command after the change. */
function after(change: (at: Workspace) => unknown, command: Command): BadInput['spoil'] {
  return (at) => {
    change(at);
    return command(at);
  };
}

function tensors(change: (tensors: Map<string, StoredTensor>) => void, command: Command): BadInput['spoil'] {
  return after((at) => at.changeTensors(weights, change), command);
}

const cases: BadInput[] = [
  // Files.
  {
    name: 'an adapter that is not there',
    spoil: (at) => evaluate(at, 'nowhere'),
    code: 'adapter-missing',
    says: /no adapter at .*nowhere/,
    human: true,
  },
  {
    name: 'an empty folder in place of an adapter',
    spoil: (at) => {
      mkdirSync(at.at('nothing'));
      return generate(at, 'nothing');
    },
    code: 'adapter-config-missing',
    says: /nothing has no adapter_config\.json; it is empty/,
  },
  {
    name: 'the model in place of an adapter',
    spoil: (at) => merge(at, 'base'),
    code: 'model-instead-of-adapter',
    says: /base holds a model/,
  },
  {
    name: 'a broken adapter_config.json',
    spoil: after((at) => at.write(config, '{\n"peft_type": "LORA",\n'), evaluate),
    code: 'adapter-config-broken',
    says: /tuned\/adapter_config\.json is not valid JSON at line/,
  },
  {
    name: 'an adapter_config.json with wrong values, all at once',
    spoil: after((at) => at.change(config, { r: 'four', lora_alpha: null, bias: 'some' }), merge),
    code: 'adapter-config-invalid',
    says: /adapter_config\.json, .*r: .*"four"/s,
  },
  {
    name: 'an adapter of an unsupported type',
    spoil: after((at) => at.change(config, { peft_type: 'PREFIX_TUNING' }), generate),
    code: 'adapter-type-unsupported',
    says: /adapter_config\.json: peft_type is .*"PREFIX_TUNING"; supported: .*LORA/,
    human: true,
  },
  {
    name: 'an adapter with unsupported features',
    spoil: after((at) => at.change(config, { use_qalora: true, layer_replication: [[0, 2]] }), evaluate),
    code: 'adapter-feature-unsupported',
    says: /layer_replication.*use_qalora|use_qalora.*layer_replication/s,
    problems: 2,
  },
  {
    name: 'an adapter that is a pickle alone',
    spoil: after((at) => renameSync(at.at(weights), at.at('tuned/adapter_model.bin')), evaluate),
    code: 'pickle-adapter',
    says: /tuned holds its weights as a pickle \(adapter_model\.bin\)/,
    remedy: /safetensors/,
  },
  {
    name: 'an adapter without weights',
    spoil: after((at) => at.remove(weights), merge),
    code: 'adapter-weights-missing',
    says: /tuned has adapter_config\.json, but no adapter_model\.safetensors/,
  },
  {
    name: 'a git-LFS pointer in place of an adapter’s weights',
    spoil: after((at) => at.write(weights, lfsPointer), generate),
    code: 'git-lfs-pointer',
    says: /adapter_model\.safetensors: is a git-LFS pointer/,
  },
  {
    name: 'an adapter whose weights are cut off',
    spoil: after((at) => at.write(weights, at.bytes(weights).subarray(0, -60)), evaluate),
    code: 'safetensors-broken',
    says: /adapter_model\.safetensors.*60 are missing/s,
  },
  {
    name: 'an adapter without tensors',
    spoil: after((at) => at.write(weights, safetensors('{}')), merge),
    code: 'adapter-tensors-invalid',
    says: /adapter_model\.safetensors.*no LORA tensor/s,
  },
  // Tensors.
  {
    name: 'an adapter with a missing half',
    spoil: tensors((all) => all.delete(factor), evaluate),
    code: 'adapter-tensors-invalid',
    says: /layers\.1\.self_attn\.q_proj\.lora_B\.weight.*no lora_A/s,
  },
  {
    name: 'an adapter with missing modules',
    spoil: tensors((all) => {
      for (const name of [...all.keys()]) if (name.includes('layers.1.self_attn.q_proj')) all.delete(name);
    }, generate),
    code: 'adapter-does-not-fit',
    says: /layers\.1\.self_attn\.q_proj\.lora_A\.weight.* is missing; expected \[4, 32\]/s,
    problems: 2,
  },
  {
    name: 'an adapter of other ranks than its config',
    spoil: after((at) => at.change(config, { r: 8 }), merge),
    code: 'adapter-tensors-invalid',
    says: /has rank 4; adapter_config\.json says 8/,
    problems: 4,
  },
  {
    name: 'an adapter of another base model',
    spoil: tensors((all) => {
      for (const tensor of all.values()) {
        tensor.shape = tensor.shape.map((size) => (size === 32 ? 64 : size));
        tensor.data = Buffer.alloc(tensor.shape.reduce((product, size) => product * size, 4));
      }
    }, evaluate),
    code: 'adapter-does-not-fit',
    says: /tuned does not fit the model \(llama, 2 layers of width 32\):.*has shape \[4, 64\]; the model needs \[4, 32\]/s,
    remedy: /base_model_name_or_path/,
    human: true,
  },
  {
    name: 'an adapter with NaN',
    spoil: tensors((all) => all.get(factor)!.data.writeFloatLE(Number.NaN, 8), generate),
    code: 'adapter-does-not-fit',
    says: /layers\.1\.self_attn\.q_proj\.lora_A\.weight.*1 NaN.*element 2/s,
  },
  {
    name: 'an adapter of integers',
    spoil: tensors((all) => {
      all.get(factor)!.dtype = 'I32';
    }, merge),
    code: 'adapter-tensors-invalid',
    says: /q_proj\.lora_A\.weight.* is I32; expected F32/,
  },
  {
    name: 'an adapter whose update is no number when it is merged',
    spoil: tensors((all) => {
      for (const name of [factor, factor.replace('lora_A', 'lora_B')]) {
        const { data } = all.get(name)!;
        for (let at = 0; at < data.length; at += 4) data.writeFloatLE(3e38, at);
      }
    }, merge),
    code: 'merge-not-finite',
    says: /layers\.1\.self_attn\.q_proj\.weight holds .*infinite/,
  },
  // What the commands take beside it.
  {
    name: 'a folder that holds something already as the place of a merged model',
    spoil: after((at) => at.write('merged/notes.txt', 'mine'), merge),
    code: 'merge-out-occupied',
    says: /merged is there already and holds notes\.txt/,
    remedy: /--out/,
    human: true,
  },
  {
    name: 'a place below a file for a merged model',
    spoil: (at) => [...merge(at), '--out', at.at('train.jsonl', 'merged')],
    code: 'not-a-folder',
    says: /train\.jsonl.*a file stands where a folder is needed/,
  },
  {
    name: 'merging into the model itself',
    spoil: (at) => [...merge(at), '--out', at.at('base')],
    code: 'merge-out-occupied',
    says: /base is there already/,
  },
  {
    name: 'evaluating on a file that is not there',
    spoil: (at) => [...evaluate(at), '--data', at.at('none.jsonl')],
    code: 'dataset-missing',
    says: /none\.jsonl does not exist/,
  },
  {
    name: 'evaluating on broken rows',
    spoil: after((at) => at.write('eval.jsonl', '{"prompt": "a", "completion": "b"}\n{"prompt'), evaluate),
    code: 'dataset-broken-rows',
    says: /eval\.jsonl:2 \(row 2\)/,
  },
  {
    name: 'evaluating a model that is not there',
    spoil: (at) => ['evaluate', '--model', at.at('none'), '--data', at.at('eval.jsonl')],
    code: 'checkpoint-missing',
    says: /no checkpoint at .*none/,
  },
  {
    name: 'generating by a broken chat template',
    spoil: (at) => {
      at.change('base/tokenizer_config.json', { chat_template: "{{ raise_exception('no users') }}" });
      return [...generate(at), '--chat'];
    },
    code: 'chat-template-failed',
    says: /chat template.*no users/,
  },
  {
    name: 'a prompt longer than the model',
    spoil: (at) => [...generate(at), '--prompt', 'word and word '.repeat(400)],
    code: 'prompts-invalid',
    says: /prompt 2: has \d+ tokens; the model has 256 positions/,
  },
  {
    name: 'merging with NaN weights',
    spoil: (at) => {
      at.changeTensors('base/model.safetensors', (all) =>
        all.get('model.norm.weight')!.data.writeFloatLE(Number.NaN),
      );
      return merge(at);
    },
    code: 'checkpoint-not-finite',
    says: /model\.norm\.weight.*1 NaN/s,
  },
  {
    name: 'merging with a model of other tensors',
    spoil: (at) => {
      at.changeTensors('base/model.safetensors', (all) => all.delete('model.norm.weight'));
      return merge(at);
    },
    code: 'checkpoint-tensors-mismatch',
    says: /model\.norm\.weight.* is missing/,
  },
  {
    name: 'a temperature below zero',
    spoil: (at) => [...generate(at), '--temperature', '-1'],
    code: 'usage',
    says: /--temperature takes a number from 0.*"-1"/,
  },
  {
    name: 'a device that this machine lacks when merging',
    spoil: (at) => [...merge(at), '--device', 'cuda:15'],
    code: 'device-unavailable',
    says: /cuda:15 cannot be opened/,
  },
];

describeBadInput('a bad adapter', cases, prepare);
