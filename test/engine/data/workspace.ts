// Places for tests of the data part: the tiny tokenizer, variations of it, and files in temporary folders.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

export const fixtures = join(process.cwd(), 'test/fixtures/data');
export const tinyTokenizer = join(fixtures, 'tiny-bpe');
export const sharedData = join(process.cwd(), '../shared/data');

const made: string[] = [];
after(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lora-data-'));
  made.push(folder);
  return folder;
}

/** Writes one file into a new folder and returns its path. */
export function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(newFolder(), name);
  writeFileSync(path, content);
  return path;
}

export function jsonl(rows: readonly unknown[]): string {
  return fileOf('rows.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

/** A copy of the tiny tokenizer with other settings; a value of null removes the key. */
export function tokenizerWith(
  config: Record<string, unknown>,
  change: (tokenizer: TokenizerJson) => void = () => {},
): string {
  const folder = newFolder();
  cpSync(tinyTokenizer, folder, { recursive: true });
  const edit = (name: string, apply: (value: Record<string, unknown>) => void) => {
    const path = join(folder, name);
    const value = JSON.parse(readFileSync(path, 'utf8'));
    apply(value);
    writeFileSync(path, JSON.stringify(value));
  };
  edit('tokenizer_config.json', (value) => {
    Object.assign(value, config);
    for (const [key, given] of Object.entries(config)) if (given === null) delete value[key];
  });
  edit('tokenizer.json', (value) => change(value as unknown as TokenizerJson));
  return folder;
}

export interface TokenizerJson {
  added_tokens: { id: number; content: string; special: boolean; rstrip?: boolean; lstrip?: boolean }[];
  normalizer: unknown;
  post_processor: unknown;
  model: { vocab: Record<string, number> };
}

/** Adds special tokens behind the vocabulary. */
export function addSpecial(...contents: string[]): (tokenizer: TokenizerJson) => void {
  return (tokenizer) => {
    let id = Math.max(...Object.values(tokenizer.model.vocab)) + 1;
    for (const content of contents) tokenizer.added_tokens.push({ id: id++, content, special: true });
  };
}
