// In: a Hugging Face folder. Out: its tokenizer files, parsed, bounded and checked for the shapes we rely on. Knows nothing of encoding.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../errors';

export type JsonObject = Record<string, unknown>;

export interface TokenizerFiles {
  folder: string;
  /** tokenizer.json, with absent optional sections set to null. */
  tokenizer: JsonObject & { model: JsonObject; added_tokens: AddedTokenEntry[] };
  config: JsonObject;
  specialTokens: JsonObject;
  generationConfig: JsonObject;
  modelConfig: JsonObject;
  /** The text of chat_template.jinja, which wins over tokenizer_config.json as in transformers. */
  templateFile: string | null;
}

export interface AddedTokenEntry {
  id: number;
  content: string;
  special?: boolean;
}

/** The largest tokenizers in use (Gemma's) take about 40 MB. */
const maxFileBytes = 256 * 1024 * 1024;
const maxTokenId = 16 * 1024 * 1024;
const modelTypes = ['BPE', 'WordPiece', 'Unigram', 'WordLevel'];

/** Reads every tokenizer file of a folder; a DataError names the file and what to do about it. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const info = await stat(folder).catch(() => null);
  if (!info?.isDirectory()) {
    throw new DataError({
      code: 'tokenizer-missing-folder',
      message: `${folder} is ${info ? 'not a folder' : 'missing'}; a tokenizer is read from a Hugging Face model folder.`,
      remedy: 'Give the path of the folder that holds tokenizer.json.',
    });
  }
  const tokenizer = await readJson(folder, 'tokenizer.json');
  if (!tokenizer) throw await missingTokenizer(folder);
  checkTokenizer(join(folder, 'tokenizer.json'), tokenizer);
  const optional = async (name: string) => (await readJson(folder, name)) ?? {};
  return {
    folder,
    tokenizer: {
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      ...tokenizer,
      model: tokenizer.model as JsonObject,
      added_tokens: (tokenizer.added_tokens ?? []) as AddedTokenEntry[],
    },
    config: await optional('tokenizer_config.json'),
    specialTokens: await optional('special_tokens_map.json'),
    generationConfig: await optional('generation_config.json'),
    modelConfig: await optional('config.json'),
    templateFile: (await readBounded(join(folder, 'chat_template.jinja')))?.toString('utf8') ?? null,
  };
}

/** The error for a tokenizer file that is there but unusable. */
export function brokenTokenizer(file: string, what: string, cause?: unknown): DataError {
  return new DataError({
    code: 'tokenizer-broken',
    message: `${file}: ${what}`,
    remedy: `Download ${file.split(/[\\/]/).pop()} again from the model's page, whole.`,
    cause,
  });
}

async function missingTokenizer(folder: string): Promise<DataError> {
  const older = ['tokenizer.model', 'vocab.json', 'vocab.txt', 'spiece.model'];
  const there = await Promise.all(older.map((name) => stat(join(folder, name)).catch(() => null)));
  const found = older.find((_, i) => there[i]);
  return new DataError({
    code: 'tokenizer-missing',
    message: `${folder} has no tokenizer.json${found ? ` (only ${found}, the older form, which is not read)` : ''}.`,
    remedy: found
      ? "Convert it once with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder), or download the model's tokenizer.json."
      : "Download tokenizer.json and tokenizer_config.json from the model's page into the folder.",
  });
}

async function readBounded(file: string): Promise<Buffer | null> {
  try {
    const { size } = await stat(file);
    if (size > maxFileBytes) {
      throw brokenTokenizer(file, `it has ${size} bytes, more than the ${maxFileBytes} that are read.`);
    }
    return await readFile(file);
  } catch (error) {
    if (error instanceof DataError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw brokenTokenizer(file, `it cannot be read (${(error as Error).message}).`, error);
  }
}

async function readJson(folder: string, name: string): Promise<JsonObject | null> {
  const file = join(folder, name);
  const bytes = await readBounded(file);
  if (!bytes) return null;
  const text = bytes.toString('utf8').replace(/^\uFEFF/, '');
  if (text.startsWith('version https://git-lfs')) {
    throw new DataError({
      code: 'tokenizer-lfs-pointer',
      message: `${file} is a git-LFS pointer, not the file itself.`,
      remedy: 'Run `git lfs pull` in the model folder, or download the file from the model page.',
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const what = text.trim() === '' ? 'it is empty.' : `it is not whole JSON (${(error as Error).message}).`;
    throw brokenTokenizer(file, what, error);
  }
  if (!isObject(value)) throw brokenTokenizer(file, 'it must hold a JSON object.');
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks what the tokenizer library takes on trust: the vocabulary, the merges and the added tokens. */
function checkTokenizer(file: string, tokenizer: JsonObject): void {
  const model = tokenizer.model;
  if (!isObject(model))
    throw brokenTokenizer(file, 'it has no "model" object, so it is not a tokenizer.json.');
  const type = model.type ?? (model.merges ? 'BPE' : undefined);
  if (type !== undefined && !modelTypes.includes(String(type))) {
    throw brokenTokenizer(file, `model.type is ${JSON.stringify(type)}; known are ${modelTypes.join(', ')}.`);
  }
  const ids = isObject(model.vocab) ? Object.values(model.vocab) : null;
  if (!ids && !Array.isArray(model.vocab)) throw brokenTokenizer(file, 'model.vocab is missing.');
  if (ids?.some((id) => !isTokenId(id))) {
    throw brokenTokenizer(file, 'model.vocab has an id that is not a whole number from 0.');
  }
  if (type === 'BPE' && !Array.isArray(model.merges)) throw brokenTokenizer(file, 'model.merges is missing.');
  const added = tokenizer.added_tokens ?? [];
  const wellFormed =
    Array.isArray(added) &&
    added.every((t) => isObject(t) && typeof t.content === 'string' && t.content !== '' && isTokenId(t.id));
  if (!wellFormed) throw brokenTokenizer(file, 'added_tokens must be a list of {id, content}.');
}

function isTokenId(id: unknown): boolean {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) < maxTokenId;
}
