// Checkpoints as strangers leave them: cut off, lying, of another kind, of another shape. Each is refused through the real
// terminal with its place and a remedy, before anything is written. Long because it is one table of broken folders.
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import {
  type BadInput,
  describeBadInput,
  lfsPointer,
  readTensors,
  type StoredTensor,
  safetensors,
  tensorBytes,
  type Workspace,
} from './badInput';

const weights = 'base/model.safetensors';
const norm = 'model.layers.1.input_layernorm.weight';
const table = 'model.embed_tokens.weight';

/** A file that is whole but for its header, which claims something else. */
function lying(at: Workspace, change: (header: string) => string, length?: bigint): string[] {
  const file = at.bytes(weights);
  const start = 8 + Number(file.readBigUInt64LE());
  at.write(weights, safetensors(change(file.subarray(8, start).toString()), [file.subarray(start)], length));
  return at.train();
}

function config(values: Record<string, unknown>): BadInput['spoil'] {
  return (at) => {
    at.change('base/config.json', values);
    return at.train();
  };
}

function tensors(change: (tensors: Map<string, StoredTensor>) => void): BadInput['spoil'] {
  return (at) => {
    at.changeTensors(weights, change);
    return at.train();
  };
}

/** The weights as two shards; the index comes as it is given. */
function sharded(at: Workspace, change: (map: Record<string, string>) => void): string[] {
  const all = [...readTensors(at.bytes(weights))];
  const parts = [all.slice(0, 5), all.slice(5)];
  const map: Record<string, string> = {};
  parts.forEach((part, i) => {
    const name = `model-0000${i + 1}-of-00002.safetensors`;
    at.write(`base/${name}`, tensorBytes(new Map(part)));
    for (const [tensor] of part) map[tensor] = name;
  });
  at.remove(weights);
  change(map);
  at.write('base/model.safetensors.index.json', JSON.stringify({ metadata: {}, weight_map: map }));
  return at.train();
}

/** The model as the hub's cache lays it out. */
function hubCache(at: Workspace, revision = 'abc123'): string {
  const cache = 'models--org--tiny';
  mkdirSync(at.at(cache, 'snapshots'), { recursive: true });
  renameSync(at.at('base'), at.at(cache, 'snapshots', 'abc123'));
  at.write(`${cache}/refs/main`, revision);
  return cache;
}

const whole = (value: number, count: number): Buffer =>
  Buffer.from(new Float32Array(count).fill(value).buffer);

const cases: BadInput[] = [
  // The file.
  {
    name: 'weights that were cut off',
    spoil: (at) => {
      at.write(weights, at.bytes(weights).subarray(0, -1000));
      return at.train();
    },
    code: 'safetensors-broken',
    says: /base\/model\.safetensors.*1000 are missing/s,
    remedy: /Download the file again/,
    human: true,
  },
  {
    name: 'weights that were cut off in the header',
    spoil: (at) => {
      at.write(weights, at.bytes(weights).subarray(0, 100));
      return at.train();
    },
    code: 'safetensors-broken',
    says: /model\.safetensors.*ends after/s,
  },
  {
    name: 'an empty file of weights',
    spoil: (at) => {
      at.write(weights, '');
      return at.train();
    },
    code: 'safetensors-broken',
    says: /model\.safetensors.*0 bytes/s,
  },
  {
    name: 'a header of 2^63 bytes',
    spoil: (at) => lying(at, (header) => header, 2n ** 63n),
    code: 'safetensors-broken',
    says: /model\.safetensors.*9223372036854775808/s,
  },
  {
    name: 'overlapping tensors',
    spoil: (at) =>
      lying(at, (header) =>
        header.replace('"data_offsets":[131072,131200]', '"data_offsets":[130000,130128]'),
      ),
    code: 'safetensors-broken',
    says: /model\.safetensors, "model\.layers\.0\.input_layernorm\.weight".*overlaps "model\.embed_tokens\.weight"/s,
  },
  {
    name: 'a shape that its bytes do not fit',
    spoil: (at) => lying(at, (header) => header.replace('"shape":[32]', '"shape":[33]')),
    code: 'safetensors-broken',
    says: /model\.safetensors.*takes 128 bytes.*needs 132/s,
  },
  {
    name: 'a shape beyond all numbers',
    spoil: (at) => lying(at, (header) => header.replace('"shape":[32]', '"shape":[9007199254740991,8]')),
    code: 'safetensors-broken',
    says: /too large/,
  },
  {
    name: 'a git-LFS pointer in place of weights',
    spoil: (at) => {
      at.write(weights, lfsPointer);
      return at.train();
    },
    code: 'git-lfs-pointer',
    says: /base\/model\.safetensors is a git-LFS pointer/,
    remedy: /git lfs pull/,
    human: true,
  },
  {
    name: 'a web page in place of weights',
    spoil: (at) => {
      at.write(weights, '<!DOCTYPE html><html>Please log in</html>');
      return at.train();
    },
    code: 'not-safetensors',
    says: /model\.safetensors.*web page/,
  },
  // Values and types.
  {
    name: 'NaN weights',
    spoil: tensors((all) => all.get(norm)!.data.writeFloatLE(Number.NaN, 4 * 7)),
    code: 'checkpoint-not-finite',
    says: /model\.safetensors.*layers\.1\.input_layernorm\.weight.*1 NaN.*index 7/s,
    remedy: /Download the checkpoint again/,
    started: true,
    human: true,
  },
  {
    name: 'infinite weights, in every tensor that has them',
    spoil: tensors((all) => {
      all.get(norm)!.data.writeFloatLE(Number.POSITIVE_INFINITY);
      all.get(table)!.data.writeFloatLE(Number.NEGATIVE_INFINITY, 4 * 31);
    }),
    code: 'checkpoint-not-finite',
    says: /embed_tokens\.weight.*1 infinite.*input_layernorm\.weight.*1 infinite|input_layernorm\.weight.*embed_tokens\.weight/s,
    problems: 2,
    started: true,
  },
  {
    name: 'NaN weights that only the evaluation meets',
    spoil: (at) => {
      const { vocab } = JSON.parse(at.bytes('base/tokenizer.json').toString()).model;
      at.change('base/config.json', { tie_word_embeddings: false });
      at.changeTensors(weights, (all) => {
        const embedding = all.get(table)!;
        all.set('lm_head.weight', { ...embedding, data: Buffer.from(embedding.data) });
        embedding.data.writeFloatLE(Number.NaN, 4 * 32 * vocab.Q);
      });
      at.write('eval.jsonl', '{"prompt": "Q", "completion": "Q"}');
      return at.train({ eval_dataset: 'eval.jsonl' });
    },
    code: 'checkpoint-not-finite',
    says: /embed_tokens\.weight.*1 NaN/s,
    started: true,
  },
  {
    name: 'NaN weights when evaluating',
    spoil: (at) => {
      at.changeTensors(weights, (all) => all.get(norm)!.data.writeFloatLE(Number.NaN));
      return ['evaluate', '--model', at.at('base'), '--data', at.at('eval.jsonl')];
    },
    code: 'checkpoint-not-finite',
    says: /layers\.1\.input_layernorm\.weight.*1 NaN/s,
  },
  {
    name: 'I32 weights',
    spoil: tensors((all) => {
      all.get(norm)!.dtype = 'I32';
    }),
    code: 'checkpoint-tensors-mismatch',
    says: /base.*layers\.1\.input_layernorm\.weight.* is I32; expected F32, F16, BF16/s,
  },
  {
    name: 'F8 weights',
    spoil: tensors((all) => {
      for (const tensor of all.values()) {
        tensor.dtype = 'F8_E4M3';
        tensor.data = Buffer.alloc(tensor.data.length / 4);
      }
    }),
    code: 'checkpoint-tensors-mismatch',
    says: /embed_tokens\.weight.* is F8_E4M3; expected F32, F16, BF16/s,
  },
  {
    name: 'a quantised checkpoint',
    spoil: (at) => {
      at.change('base/config.json', { quantization_config: { quant_method: 'bitsandbytes' } });
      at.changeTensors(weights, (all) => {
        all.set('model.layers.0.mlp.up_proj.weight', {
          dtype: 'U8',
          shape: [768, 1],
          data: Buffer.alloc(768),
        });
        all.set('model.layers.0.mlp.up_proj.weight.absmax', {
          dtype: 'F32',
          shape: [24],
          data: Buffer.alloc(96),
        });
      });
      return at.train();
    },
    code: 'checkpoint-tensors-mismatch',
    says: /up_proj\.weight.* is U8/s,
    remedy: /unquantised checkpoint.*bitsandbytes/,
  },
  {
    name: 'missing, surplus and misshapen tensors, all at once',
    spoil: tensors((all) => {
      all.delete('model.layers.0.mlp.up_proj.weight');
      all.set('model.layers.9.mlp.up_proj.weight', { dtype: 'F32', shape: [1], data: whole(0, 1) });
      all.set(norm, { dtype: 'F32', shape: [33], data: whole(1, 33) });
    }),
    code: 'checkpoint-tensors-mismatch',
    says: /layers\.0\.mlp\.up_proj\.weight.* is missing; expected \[48, 32\]/,
    problems: 3,
    human: true,
  },
  // Shards.
  {
    name: 'a missing shard',
    spoil: (at) => {
      const args = sharded(at, () => {});
      at.remove('base/model-00002-of-00002.safetensors');
      return args;
    },
    code: 'shard-missing',
    says: /model-00002-of-00002\.safetensors.*is missing/,
    remedy: /Download the missing shards/,
  },
  {
    name: 'an index that names absent tensors',
    spoil: (at) =>
      sharded(at, (map) => {
        map['model.ghost.weight'] = 'model-00001-of-00002.safetensors';
      }),
    code: 'shard-lacks-tensor',
    says: /model-00001-of-00002\.safetensors.*lacks "?model\.ghost\.weight/,
  },
  {
    name: 'an index that points out of the folder',
    spoil: (at) =>
      sharded(at, (map) => {
        map['model.ghost.weight'] = '../../secret.safetensors';
      }),
    code: 'shard-index-broken',
    says: /index\.json.*ghost.*\.\.\/\.\.\/secret/s,
  },
  // config.json.
  {
    name: 'an unknown model_type',
    spoil: config({ model_type: 'mamba' }),
    code: 'model-type-unsupported',
    says: /config\.json.*"mamba"; supported are gpt2, llama, mistral, qwen2, qwen3/,
    human: true,
  },
  {
    name: 'no config.json',
    spoil: (at) => {
      at.remove('base/config.json');
      return at.train();
    },
    code: 'config-missing',
    says: /base\/config\.json does not exist/,
  },
  {
    name: 'a broken config.json',
    spoil: (at) => {
      at.write('base/config.json', '{\n "model_type": "llama"\n "hidden_size": 32}');
      return at.train();
    },
    code: 'config-broken',
    says: /base\/config\.json is not valid JSON at line 3/,
  },
  {
    name: 'sizes that are none, all at once',
    spoil: config({ hidden_size: 'wide', vocab_size: -5, rms_norm_eps: null, num_attention_heads: 2.5 }),
    code: 'config-invalid',
    says: /config\.json: hidden_size: .*"wide".*num_attention_heads: .*2\.5.*vocab_size: .*-5/s,
  },
  {
    name: 'heads that do not divide the width',
    spoil: config({ num_attention_heads: 5, num_key_value_heads: 5 }),
    code: 'config-invalid',
    says: /num_attention_heads: hidden_size 32 does not divide into 5 heads/,
  },
  {
    name: 'heads that do not divide into groups',
    spoil: config({ num_key_value_heads: 3 }),
    code: 'config-invalid',
    says: /num_key_value_heads: 4 heads do not divide into 3 groups/,
  },
  {
    name: 'an odd head_dim',
    spoil: config({ head_dim: 7 }),
    code: 'config-invalid',
    says: /head_dim: .*even head size, found 7/,
  },
  {
    name: 'an unknown rotary scaling',
    spoil: config({ rope_scaling: { rope_type: 'spiral', factor: 2 } }),
    code: 'config-invalid',
    says: /rope_scaling\.rope_type: expected one of default, linear.*found "spiral"/,
  },
  {
    name: 'a rotary base and a factor that give no numbers',
    spoil: config({ rope_theta: 0, rope_scaling: { rope_type: 'linear', factor: 0 } }),
    code: 'config-invalid',
    says: /rope_theta: .*found 0.*rope_scaling\.factor: .*found 0|rope_scaling\.factor: .*rope_theta/s,
    problems: 2,
  },
  {
    name: 'a negative epsilon',
    spoil: config({ rms_norm_eps: -1 }),
    code: 'config-invalid',
    says: /rms_norm_eps: .*found -1/,
  },
  {
    name: 'a million layers',
    spoil: config({ num_hidden_layers: 1_000_000 }),
    code: 'config-invalid',
    says: /num_hidden_layers: .*found 1000000/,
  },
  {
    name: 'a config of another size than its weights',
    spoil: config({ hidden_size: 64, num_hidden_layers: 40 }),
    code: 'checkpoint-tensors-mismatch',
    says: /embed_tokens\.weight.* has shape \[1024, 32\]; expected \[1024, 64\]/,
    remedy: /same version/,
  },
  {
    name: 'a vocabulary beyond all memory',
    spoil: config({ vocab_size: 2_000_000_000 }),
    code: 'checkpoint-tensors-mismatch',
    says: /expected \[2000000000, 32\]/,
  },
  // The folder.
  {
    name: 'a hub cache with a dangling link',
    spoil: (at) => {
      const cache = hubCache(at);
      const snapshot = `${cache}/snapshots/abc123`;
      at.remove(`${snapshot}/model.safetensors`);
      symlinkSync('../../blobs/0123abcd', at.at(snapshot, 'model.safetensors'));
      return at.train({ model: cache });
    },
    code: 'checkpoint-file-missing',
    says: /snapshots\/abc123\/model\.safetensors.*link/,
    remedy: /[Dd]ownload/,
    human: true,
    skip: process.platform === 'win32' && 'links need rights here',
  },
  {
    name: 'a hub cache whose main revision is absent',
    spoil: (at) => at.train({ model: hubCache(at, 'ffff') }),
    code: 'hub-cache-incomplete',
    says: /models--org--tiny.*refs\/main names "ffff".*abc123/,
  },
  {
    name: 'a GGUF file',
    spoil: (at) => {
      at.write('tiny.gguf', 'GGUF\x03');
      return at.train({ model: 'tiny.gguf' });
    },
    code: 'gguf-file',
    says: /tiny\.gguf is a GGUF file/,
  },
  {
    name: 'a folder with pickles alone',
    spoil: (at) => {
      renameSync(at.at(weights), at.at('base/pytorch_model.bin'));
      return at.train();
    },
    code: 'pickle-checkpoint',
    says: /base holds its weights as a pickle \(pytorch_model\.bin\)/,
    remedy: /safetensors/,
  },
  {
    name: 'an empty folder',
    spoil: (at) => {
      mkdirSync(at.at('nothing'));
      return at.train({ model: 'nothing' });
    },
    code: 'checkpoint-empty',
    says: /nothing is empty/,
  },
  {
    name: 'an adapter in place of the model',
    spoil: (at) => {
      at.write('tuned/adapter_config.json', '{"peft_type":"LORA"}');
      at.write('tuned/adapter_model.safetensors', safetensors('{}'));
      return at.train({ model: 'tuned' });
    },
    code: 'adapter-instead-of-model',
    says: /tuned holds an adapter/,
    remedy: /as the adapter/,
  },
  {
    name: 'a dataset in place of the model',
    spoil: (at) => at.train({ model: 'train.jsonl' }),
    code: 'checkpoint-not-a-folder',
    says: /train\.jsonl is a file/,
    remedy: /folder/,
  },
  {
    name: 'weights that are a folder',
    spoil: (at) => {
      at.remove(weights);
      mkdirSync(at.at(weights));
      return at.train();
    },
    code: 'checkpoint-file-unreadable',
    says: /model\.safetensors.*folder/,
  },
];

describeBadInput('a bad checkpoint', cases);
