// Temporary folders, hand-made safetensors files and the one way in which tests look at an error.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { UserError } from '../../../src/engine/errors';

/** A folder that goes when the test ends, filled with `files`. */
export async function scratch(
  t: TestContext,
  files: Record<string, string | Uint8Array> = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'workbench-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await fillFolder(folder, files);
  return folder;
}

export async function fillFolder(folder: string, files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

/** The bytes of a safetensors file with whatever header one likes, true or lying. */
export function rawSafetensors(
  header: unknown,
  dataBytes: number | Uint8Array = 0,
  length?: bigint,
): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([size, text, typeof dataBytes === 'number' ? Buffer.alloc(dataBytes) : dataBytes]);
}

export interface ExpectedFailure {
  class: new (...args: never[]) => UserError;
  code: string;
  /** Parts of the message: the place, what was found. */
  says: (string | RegExp)[];
}

/** Runs what must fail, and looks at class, code, message and remedy. */
export async function fails(run: () => unknown, expected: ExpectedFailure): Promise<UserError> {
  let error: unknown;
  try {
    await run();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof UserError, `expected a UserError, got ${error}`);
  assert.equal(error.constructor.name, expected.class.name, error.message);
  assert.equal(error.code, expected.code, error.message);
  for (const part of expected.says) {
    assert.ok(
      typeof part === 'string' ? error.message.includes(part) : part.test(error.message),
      `${error.message}\nlacks ${part}`,
    );
  }
  assert.match(error.remedy, /^[A-Z].{10,}/s, 'a remedy is a sentence');
  assert.ok(!/undefined|\[object/.test(error.message + error.remedy), error.message + error.remedy);
  return error;
}

/** Every path below `folder`, sorted. */
export async function tree(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).sort();
}

/** A folder of the shared reference data, or undefined where it is not there. */
export function sharedData(name: string): string | undefined {
  const path = resolve(process.cwd(), '../shared/data', name);
  return existsSync(path) ? path : undefined;
}
