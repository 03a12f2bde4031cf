// Library headers: of real libraries of both systems, and of damaged files, which may do nothing but raise.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseElf, type ReadAt } from '../../../src/engine/cuda/elf';
import { readLibraryHeader } from '../../../src/engine/cuda/libraryHeader';
import { parsePe } from '../../../src/engine/cuda/pe';
import { SessionError } from '../../../src/engine/errors';
import { scratch } from '../files/scratch';
import { elf } from './libraryFiles';

const binaries = join(process.cwd(), 'node_modules', 'onnxruntime-node', 'bin', 'napi-v6');
const real: [string, string, string | null, string][] = [
  ['linux/x64/libonnxruntime.so.1', 'x64', 'libonnxruntime.so.1', 'libstdc++.so.6'],
  ['linux/arm64/libonnxruntime.so.1', 'arm64', 'libonnxruntime.so.1', 'libstdc++.so.6'],
  ['win32/x64/onnxruntime.dll', 'x64', null, 'kernel32.dll'],
  ['win32/arm64/onnxruntime.dll', 'arm64', null, 'kernel32.dll'],
];
for (const [path, arch, name, needs] of real) {
  const file = join(binaries, path);
  test(`reads ${path}`, { skip: !existsSync(file) }, () => {
    const header = readLibraryHeader(file);
    assert.equal(header.arch, arch);
    assert.equal(header.name, name);
    assert.ok(header.needed.map((entry) => entry.toLowerCase()).includes(needs), header.needed.join(' '));
    assert.ok(
      header.needed.every((entry) => /^[\w.+-]+$/.test(entry)),
      header.needed.join(' '),
    );
  });
}

test('reads a hand-made library, in order', async (t) => {
  const folder = await scratch(t);
  const path = join(folder, 'a.so');
  await writeFile(path, elf({ needed: ['libcublas.so.13', 'libc.so.6'], name: 'liba.so.1', machine: 62 }));
  assert.deepEqual(readLibraryHeader(path), {
    arch: 'x64',
    name: 'liba.so.1',
    needed: ['libcublas.so.13', 'libc.so.6'],
  });
});

test('refuses files that are no library, by name', async (t) => {
  const folder = await scratch(t, {
    text: 'not a library at all, however long the text may be, and it goes on',
  });
  assert.throws(
    () => readLibraryHeader(join(folder, 'text')),
    (error: SessionError) => error.code === 'library-invalid' && error.message.includes('text'),
  );
});

/** Reads from bytes, with the same bounds as from a file. */
function reader(bytes: Buffer): ReadAt {
  return (offset, length) => {
    if (offset < 0 || offset + length > bytes.length)
      throw new SessionError({ code: 'library-invalid', message: 'outside', remedy: '' });
    return bytes.subarray(offset, offset + length);
  };
}

/** A PE32+ file with two imports in one section. */
function pe(): Buffer {
  const bytes = Buffer.alloc(1024);
  bytes.write('MZ', 0);
  bytes.writeUInt32LE(64, 60);
  bytes.write('PE\0\0', 64, 'latin1');
  bytes.writeUInt16LE(0x8664, 68);
  bytes.writeUInt16LE(1, 70);
  bytes.writeUInt16LE(240, 84);
  bytes.writeUInt16LE(0x20b, 88);
  bytes.writeUInt32LE(16, 88 + 108);
  bytes.writeUInt32LE(0x1000, 88 + 112 + 8);
  const section = 88 + 240;
  bytes.writeUInt32LE(0x1000, section + 12);
  bytes.writeUInt32LE(512, section + 16);
  bytes.writeUInt32LE(512, section + 20);
  bytes.writeUInt32LE(0x1080, 512 + 12);
  bytes.writeUInt32LE(0x1090, 512 + 20 + 12);
  bytes.write('cudart64_13.dll\0', 512 + 0x80);
  bytes.write('KERNEL32.dll\0', 512 + 0x90);
  return bytes;
}

test('reads a hand-made Windows library', () => {
  assert.deepEqual(parsePe(reader(pe()), 'x'), {
    arch: 'x64',
    name: null,
    needed: ['cudart64_13.dll', 'KERNEL32.dll'],
  });
});

for (const [name, whole, parse] of [
  ['ELF', elf({ needed: ['libcudart.so.13', 'libc.so.6'], name: 'libx.so' }), parseElf],
  ['PE', pe(), parsePe],
] as const) {
  test(`a damaged ${name} file raises one kind of error, or reads as something else, and never hangs`, () => {
    let refused = 0;
    const attempt = (bytes: Buffer): void => {
      try {
        const { needed } = parse(reader(bytes), 'damaged');
        assert.ok(needed.length <= 4096);
      } catch (error) {
        assert.ok(error instanceof SessionError && error.code === 'library-invalid', String(error));
        refused++;
      }
    };
    for (let length = 0; length < whole.length; length++) attempt(whole.subarray(0, length));
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const bytes = Buffer.from(whole);
        bytes[at] = value;
        attempt(bytes);
      }
    }
    // Every truncation within the headers, at least.
    assert.ok(refused > 60, String(refused));
  });
}
