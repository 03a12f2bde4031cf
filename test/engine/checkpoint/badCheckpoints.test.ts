// What a stranger's checkpoint can have wrong: one clear CheckpointError each, and nothing written.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { CheckpointError } from '../../../src/engine/errors';
import { type ExpectedFailure, fails, rawSafetensors, scratch, tree } from '../files/scratch';

const f32 = (shape: number[], begin: number, end: number) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});
const good = rawSafetensors({ a: f32([2], 0, 8) }, 8);
const lfs = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4976698672\n';

interface Case {
  name: string;
  bytes: Uint8Array | string;
  code?: string;
  says: ExpectedFailure['says'];
  remedy?: RegExp;
}

const files: Case[] = [
  { name: 'empty file', bytes: '', says: ['0 bytes'] },
  { name: 'shorter than the length field', bytes: 'abc', says: ['3 bytes', 'at least 8'] },
  { name: 'git-LFS pointer', bytes: lfs, code: 'git-lfs-pointer', says: ['git-LFS'], remedy: /git lfs pull/ },
  {
    name: 'web page',
    bytes: '<!DOCTYPE html><html>login</html>',
    code: 'not-safetensors',
    says: ['web page'],
  },
  { name: 'zip pickle', bytes: 'PK\x03\x04 and so on and on', code: 'pickle-file', says: ['pickle'] },
  {
    name: 'bare pickle',
    bytes: Buffer.from('800263746f7263682e5f7574696c730a', 'hex'),
    code: 'pickle-file',
    says: ['pickle'],
  },
  {
    name: 'GGUF under another name',
    bytes: 'GGUF\x03\x00\x00\x00\x00\x00',
    code: 'gguf-file',
    says: ['GGUF'],
  },
  {
    name: 'huge header length',
    bytes: rawSafetensors('{}', 0, 2n ** 63n),
    says: ['9223372036854775808', '100000000'],
  },
  {
    name: 'header length just over the limit',
    bytes: rawSafetensors('{}', 0, 100_000_001n),
    says: ['100000001'],
  },
  {
    name: 'header longer than the file',
    bytes: rawSafetensors('{}', 0, 5000n),
    says: ['5000', 'ends after 10'],
  },
  { name: 'header not JSON', bytes: rawSafetensors('{"a": }'), says: ['header', 'not valid JSON'] },
  { name: 'header cut short', bytes: rawSafetensors('{"a": {"dtype": "F32"'), says: ['not valid JSON'] },
  { name: 'header a list', bytes: rawSafetensors('[1]'), says: ['does not begin with'] },
  {
    name: 'header not UTF-8',
    bytes: rawSafetensors('{"a\u0000"', 0).map((b) => (b === 0x61 ? 0xff : b)),
    says: ['UTF-8'],
  },
  {
    name: 'deeply nested header',
    bytes: rawSafetensors(`{"a":${'['.repeat(200_000)}`),
    says: ['not valid JSON'],
  },
  { name: 'entry not an object', bytes: rawSafetensors({ a: 5 }), says: ['"a"', 'the number 5'] },
  {
    name: 'unknown dtype',
    bytes: rawSafetensors({ a: { ...f32([1], 0, 4), dtype: 'F99' } }, 4),
    says: ['"a"', '"F99"'],
  },
  {
    name: 'dtype from the prototype',
    bytes: rawSafetensors({ a: { ...f32([1], 0, 4), dtype: 'constructor' } }, 4),
    says: ['constructor'],
  },
  { name: 'negative size', bytes: rawSafetensors({ a: f32([-2], 0, 8) }, 8), says: ['"a"', '[-2]'] },
  { name: 'fractional size', bytes: rawSafetensors({ a: f32([1.5], 0, 6) }, 6), says: ['[1.5]'] },
  {
    name: 'shape beyond all numbers',
    bytes: rawSafetensors({ a: f32([2 ** 40, 2 ** 40], 0, 8) }, 8),
    says: ['too large'],
  },
  {
    name: 'shape and bytes differ',
    bytes: rawSafetensors({ a: f32([3], 0, 8) }, 8),
    says: ['takes 8 bytes', 'needs 12'],
  },
  { name: 'offsets backwards', bytes: rawSafetensors({ a: f32([2], 8, 0) }, 8), says: ['[8,0]'] },
  {
    name: 'offsets as text',
    bytes: rawSafetensors({ a: { dtype: 'F32', shape: [1], data_offsets: ['0', '4'] } }, 4),
    says: ['data_offsets'],
  },
  {
    name: 'offsets missing',
    bytes: rawSafetensors({ a: { dtype: 'F32', shape: [1] } }, 4),
    says: ['data_offsets', 'nothing'],
  },
  {
    name: 'overlap',
    bytes: rawSafetensors({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12),
    says: ['"b"', 'overlaps "a" by 4'],
  },
  {
    name: 'two tensors in one place',
    bytes: rawSafetensors({ a: f32([2], 0, 8), b: f32([2], 0, 8) }, 8),
    says: ['overlaps "a" by 8'],
  },
  {
    name: 'hole',
    bytes: rawSafetensors({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12),
    says: ['"b"', '4 bytes after the end of "a"'],
  },
  {
    name: 'data not at the start',
    bytes: rawSafetensors({ a: f32([1], 4, 8) }, 8),
    says: ['4 bytes after the end of the header'],
  },
  { name: 'trailing bytes', bytes: Buffer.concat([good, Buffer.alloc(5)]), says: ['5 bytes follow'] },
  {
    name: 'truncated download',
    bytes: good.subarray(0, good.length - 3),
    says: ['3 are missing'],
    remedy: /Download the file again; it is cut off/,
  },
  {
    name: 'duplicate name',
    bytes: rawSafetensors(
      `{"a":${JSON.stringify(f32([1], 0, 4))},"\\u0061":${JSON.stringify(f32([1], 0, 4))}}`,
      4,
    ),
    says: ['"a"', 'twice'],
  },
  {
    name: 'metadata not text',
    bytes: rawSafetensors({ __metadata__: { step: 5 }, a: f32([1], 0, 4) }, 4),
    says: ['__metadata__', '"step"'],
  },
];

for (const { name, bytes, code = 'safetensors-broken', says, remedy = /./ } of files) {
  test(`safetensors: ${name}`, async (t) => {
    const folder = await scratch(t, { 'config.json': '{"model_type":"llama"}', 'model.safetensors': bytes });
    const path = join(folder, 'model.safetensors');
    const expected = { class: CheckpointError, code, says: [path, ...says] };
    const error = await fails(() => readSafetensors(path), expected);
    assert.match(error.remedy, remedy);
    await fails(() => openCheckpoint(folder), expected);
    assert.deepEqual(await tree(folder), ['config.json', 'model.safetensors']);
  });
}

test('all problems of a file come at once', async (t) => {
  const header = { a: { dtype: 'X', shape: [-1], data_offsets: [1, 0] }, b: 3, c: f32([2], 0, 4) };
  const folder = await scratch(t, { x: rawSafetensors(header, 4) });
  const error = await fails(() => readSafetensors(join(folder, 'x')), {
    class: CheckpointError,
    code: 'safetensors-broken',
    says: [],
  });
  assert.equal(error.problems.length, 5);
});

test('a thousand problems are cut to a list that can be read', async (t) => {
  const header = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`t${i}`, null]));
  const folder = await scratch(t, { x: rawSafetensors(header) });
  const error = await fails(() => readSafetensors(join(folder, 'x')), {
    class: CheckpointError,
    code: 'safetensors-broken',
    says: ['and 900 more'],
  });
  assert.equal(error.problems.length, 101);
});

test('a type that cannot be used is refused when it is read, and a file cut meanwhile is noticed', async (t) => {
  const folder = await scratch(t, {
    x: rawSafetensors({ a: { dtype: 'F8_E4M3', shape: [4], data_offsets: [0, 4] } }, 4),
    y: good,
  });
  const { tensors } = await readSafetensors(join(folder, 'x'));
  await fails(() => readTensor(tensors.get('a')!), {
    class: CheckpointError,
    code: 'tensor-dtype-unsupported',
    says: ['"a"', 'F8_E4M3', folder],
  });
  const ref = (await readSafetensors(join(folder, 'y'))).tensors.get('a')!;
  await fails(() => readTensor({ ...ref, offset: ref.offset + 4 }), {
    class: CheckpointError,
    code: 'checkpoint-file-changed',
    says: [ref.file],
  });
  await fails(() => readTensor({ ...ref, file: join(folder, 'gone') }), {
    class: CheckpointError,
    code: 'checkpoint-file-missing',
    says: ['gone'],
  });
});

const config = '{"model_type":"llama"}';
const index = (map: unknown) => JSON.stringify({ metadata: {}, weight_map: map });
const folders: {
  name: string;
  files: Record<string, string | Uint8Array>;
  at?: string;
  code: string;
  says: ExpectedFailure['says'];
}[] = [
  { name: 'empty', files: {}, code: 'checkpoint-empty', says: ['empty'] },
  { name: 'missing', files: {}, at: 'nowhere', code: 'checkpoint-missing', says: ['nowhere'] },
  {
    name: 'adapter',
    files: { 'adapter_config.json': '{}', 'adapter_model.safetensors': good },
    code: 'adapter-instead-of-model',
    says: ['adapter_config.json'],
  },
  {
    name: 'pickle only',
    files: { 'config.json': config, 'pytorch_model.bin': 'x' },
    code: 'pickle-checkpoint',
    says: ['pytorch_model.bin'],
  },
  {
    name: 'pickle shards',
    files: { 'config.json': config, 'pytorch_model.bin.index.json': '{}' },
    code: 'pickle-checkpoint',
    says: ['pytorch_model.bin.index.json'],
  },
  { name: 'GGUF folder', files: { 'model.gguf': 'GGUF' }, code: 'gguf-file', says: ['model.gguf'] },
  {
    name: 'GGUF file',
    files: { 'model.gguf': 'GGUF' },
    at: 'model.gguf',
    code: 'gguf-file',
    says: ['model.gguf'],
  },
  {
    name: 'Keras weights',
    files: { 'config.json': config, 'tf_model.h5': '' },
    code: 'checkpoint-format-unsupported',
    says: ['tf_model.h5'],
  },
  {
    name: 'no weights',
    files: { 'config.json': config },
    code: 'checkpoint-no-weights',
    says: ['model.safetensors'],
  },
  { name: 'no config', files: { 'model.safetensors': good }, code: 'config-missing', says: ['config.json'] },
  {
    name: 'config broken',
    files: { 'config.json': '{\n "model_type": "llama"\n "x": 1}', 'model.safetensors': good },
    code: 'config-broken',
    says: ['config.json', 'line 3'],
  },
  {
    name: 'config empty',
    files: { 'config.json': '', 'model.safetensors': good },
    code: 'config-broken',
    says: ['empty'],
  },
  {
    name: 'config a list',
    files: { 'config.json': '[]', 'model.safetensors': good },
    code: 'config-broken',
    says: ['list'],
  },
  {
    name: 'config an LFS pointer',
    files: { 'config.json': lfs, 'model.safetensors': good },
    code: 'config-broken',
    says: ['git-LFS'],
  },
  {
    name: 'config not UTF-8',
    files: { 'config.json': Uint8Array.of(0xff, 0xfe), 'model.safetensors': good },
    code: 'config-broken',
    says: ['UTF-8'],
  },
  {
    name: 'config without model_type',
    files: { 'config.json': '{}', 'model.safetensors': good },
    code: 'config-no-model-type',
    says: ['model_type', 'nothing'],
  },
  {
    name: 'config far too large',
    files: { 'config.json': Buffer.alloc(17 * 2 ** 20, ' '), 'model.safetensors': good },
    code: 'config-too-large',
    says: ['16777216'],
  },
  {
    name: 'index broken',
    files: { 'config.json': config, 'model.safetensors.index.json': '{' },
    code: 'shard-index-broken',
    says: ['index.json'],
  },
  {
    name: 'index without a map',
    files: { 'config.json': config, 'model.safetensors.index.json': '{}' },
    code: 'shard-index-broken',
    says: ['weight_map'],
  },
  {
    name: 'index out of the folder',
    files: {
      'config.json': config,
      'model.safetensors.index.json': index({ a: '../../etc/x.safetensors', b: '/x.safetensors' }),
    },
    code: 'shard-index-broken',
    says: ['"a"', '"b"', '../../etc'],
  },
  {
    name: 'missing shards',
    files: {
      'config.json': config,
      'model.safetensors.index.json': index({ a: '1.safetensors', b: '2.safetensors', c: '3.safetensors' }),
      '2.safetensors': rawSafetensors({ b: f32([1], 0, 4) }, 4),
    },
    code: 'shard-missing',
    says: ['1.safetensors', '3.safetensors'],
  },
  {
    name: 'shards of another version',
    files: {
      'config.json': config,
      'model.safetensors.index.json': index({ a: '1.safetensors', b: '1.safetensors' }),
      '1.safetensors': rawSafetensors({ a: f32([1], 0, 4) }, 4),
    },
    code: 'shard-lacks-tensor',
    says: ['"b"', '1.safetensors'],
  },
  {
    name: 'all shards LFS pointers',
    files: {
      'config.json': config,
      'model.safetensors.index.json': index({ a: '1.safetensors', b: '2.safetensors' }),
      '1.safetensors': lfs,
      '2.safetensors': lfs,
    },
    code: 'git-lfs-pointer',
    says: ['1.safetensors', '2.safetensors'],
  },
  {
    name: 'shards broken in different ways',
    files: {
      'config.json': config,
      'model.safetensors.index.json': index({ a: '1.safetensors', b: '2.safetensors' }),
      '1.safetensors': lfs,
    },
    code: 'shards-broken',
    says: ['1.safetensors', '2.safetensors'],
  },
];

for (const { name, files: content, at = '', code, says } of folders) {
  test(`checkpoint folder: ${name}`, async (t) => {
    const folder = await scratch(t, content);
    await fails(() => openCheckpoint(join(folder, at)), { class: CheckpointError, code, says });
    assert.deepEqual(await tree(folder), Object.keys(content).sort());
  });
}
