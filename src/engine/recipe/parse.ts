// Text of a recipe, YAML or JSON → plain values and the place of every key. Bounded; nothing in it is executed; it knows
// no setting. All syntax problems are reported together.
import { type Document, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Problem } from '../../protocol/errors';
import { RecipeError, raiseProblems } from '../errors';
import { isMapping } from './shapes';

/** A recipe's values before validation. */
export interface RecipeSource {
  /** The recipe's file, as shown in messages. */
  file: string;
  /** Absolute; relative paths are relative to it. */
  folder: string;
  values: Record<string, unknown>;
  /** Key path (`dataset[0].path`) → where it stands (`llama.lora.yaml:3` or `--set`). */
  places: Map<string, string>;
}

const maximumBytes = 1024 * 1024;
const maximumDepth = 32;
/** YAML aliases may repeat a value; a chain of them could grow without end. */
const maximumAliases = 100;

/**
 * Parses a recipe. `file` decides the syntax (`.json` or YAML) and names the places.
 * @throws RecipeError `recipe-syntax` with every problem and its line.
 */
export function parseRecipe(bytes: Uint8Array, file: string, folder: string): RecipeSource {
  const text = decode(bytes, file);
  if (file.toLowerCase().endsWith('.json')) checkJson(text, file);
  const lines = new LineCounter();
  const document = parseYaml(text, file, lines);
  const problems: Problem[] = document.errors.map((error) => ({
    where: `${file}:${lines.linePos(error.pos[0]).line}`,
    message: yamlMessage(error.code, error.message),
    remedy: error.code === 'DUPLICATE_KEY' ? 'Remove one of the two.' : 'Correct the syntax of this line.',
  }));
  raiseProblems(RecipeError, 'recipe-syntax', `The recipe ${file} cannot be read.`, problems);

  const places = new Map<string, string>();
  recordPlaces(
    document.contents,
    '',
    (path, offset) => places.set(path, `${file}:${lines.linePos(offset).line}`),
    0,
    file,
  );
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: maximumAliases });
  } catch (cause) {
    throw syntaxError(
      file,
      'its aliases (*name) repeat too much or refer to nothing.',
      'Write the values out.',
      cause,
    );
  }
  if (values === null || values === undefined) {
    throw syntaxError(file, 'it is empty.', 'Give at least model and dataset.');
  }
  if (!isMapping(values)) {
    throw syntaxError(
      file,
      'it is no mapping of keys to values.',
      'Write lines such as "model: models/base".',
    );
  }
  return { file, folder, values, places };
}

function decode(bytes: Uint8Array, file: string): string {
  if (bytes.byteLength > maximumBytes) {
    throw syntaxError(
      file,
      `it has ${bytes.byteLength} bytes; a recipe has at most ${maximumBytes}.`,
      'Check that this is the recipe.',
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw syntaxError(
      file,
      'it is not UTF-8 text.',
      'Save it as UTF-8, or check that this is the recipe.',
      cause,
    );
  }
}

/** JSON is stricter than YAML; what JSON.parse refuses is refused here, with its line. */
function checkJson(text: string, file: string): void {
  try {
    JSON.parse(text);
  } catch (cause) {
    const message = (cause as Error).message;
    const position = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    const line = text.slice(0, position).split('\n').length;
    throw new RecipeError({
      code: 'recipe-syntax',
      message: `The recipe ${file}:${line} is not valid JSON: ${message}`,
      remedy: 'Correct the syntax of this line; JSON takes no comments and no trailing commas.',
      problems: [{ where: `${file}:${line}`, message, remedy: 'Correct the syntax of this line.' }],
      cause,
    });
  }
}

function parseYaml(text: string, file: string, lineCounter: LineCounter): Document.Parsed {
  // The parser recurses into flow collections; bound their depth before it sees them.
  let depth = 0;
  for (const character of text) {
    if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth = Math.max(0, depth - 1);
    if (depth > 256)
      throw syntaxError(file, 'it opens more than 256 brackets inside one another.', 'Close the brackets.');
  }
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error' });
  } catch (cause) {
    throw syntaxError(file, `${(cause as Error).message}.`, 'Correct the syntax.', cause);
  }
}

function yamlMessage(code: string, message: string): string {
  return code === 'DUPLICATE_KEY' ? 'The same key stands here a second time.' : message.replace(/\.?$/, '.');
}

function recordPlaces(
  node: unknown,
  path: string,
  record: (path: string, offset: number) => void,
  depth: number,
  file: string,
): void {
  if (depth > maximumDepth) {
    throw syntaxError(
      file,
      `it nests more than ${maximumDepth} levels.`,
      'Flatten it: no setting nests that deep.',
    );
  }
  if (isMap(node)) {
    for (const pair of node.items) {
      if (!isPair(pair) || !isScalar(pair.key)) continue;
      const key = path === '' ? String(pair.key.value) : `${path}.${String(pair.key.value)}`;
      record(key, pair.key.range?.[0] ?? 0);
      recordPlaces(pair.value, key, record, depth + 1, file);
    }
  } else if (isSeq(node)) {
    node.items.forEach((item, index) => {
      const key = `${path}[${index}]`;
      if (typeof item === 'object' && item !== null && 'range' in item && Array.isArray(item.range)) {
        record(key, Number(item.range[0]));
      }
      recordPlaces(item, key, record, depth + 1, file);
    });
  }
}

function syntaxError(file: string, message: string, remedy: string, cause?: unknown): RecipeError {
  return new RecipeError({
    code: 'recipe-syntax',
    message: `The recipe ${file} cannot be read: ${message}`,
    remedy,
    problems: [{ where: file, message, remedy }],
    cause,
  });
}

/** Where a key stands: its own place, else that of the nearest key around it, else the file. */
export function placeOf(source: RecipeSource, path: string): string {
  for (let at = path; at !== ''; at = at.replace(/(\.[^.[\]]*|\[\d+\]|^[^.[]+)$/, '')) {
    const place = source.places.get(at);
    if (place !== undefined) return place;
    if (!/[.[]/.test(at)) break;
  }
  return source.file;
}
