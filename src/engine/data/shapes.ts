// In: the columns of a dataset's rows and an optional mapping. Out: the name of the shape and samples of one common form. Knows nothing of files or tokens.
import { DataError } from '../errors';
import type { ChatMessage } from './messages';
import { readMessages, readTools, wrongType } from './messages';
import { isObject } from './tokenizerFiles';

export type DatasetShape = 'messages' | 'sharegpt' | 'prompt-completion' | 'alpaca' | 'text';

/** What the columns of a file are called: our name to the file's name. */
export type ColumnMapping = Partial<Record<ColumnName, string>>;
export type ColumnName = (typeof columnNames)[number];

export const columnNames = [
  'messages',
  'conversations',
  'prompt',
  'completion',
  'instruction',
  'input',
  'output',
  'system',
  'history',
  'text',
  'tools',
] as const;

/** One row, whatever its spelling was. */
export type Sample =
  | { kind: 'text'; text: string }
  | { kind: 'completion'; prompt: string; completion: string }
  /** Turns before `firstTrained` are context. */
  | { kind: 'chat'; messages: ChatMessage[]; tools: unknown[] | null; firstTrained: number }
  | {
      kind: 'alpaca';
      system: string;
      instruction: string;
      input: string;
      output: string;
      history: [string, string][];
    };

export interface RowShape {
  shape: DatasetShape;
  /** The columns that are used, our name to the file's. */
  columns: ColumnMapping;
  /** @throws RowProblem */
  toSample(row: unknown): Sample;
}

/** The columns that make a shape, in the order in which shapes are tried, and those it may have besides. */
const shapes: readonly { shape: DatasetShape; needs: ColumnName[]; may: ColumnName[] }[] = [
  { shape: 'messages', needs: ['messages'], may: ['tools'] },
  { shape: 'sharegpt', needs: ['conversations'], may: ['tools', 'system'] },
  { shape: 'prompt-completion', needs: ['prompt', 'completion'], may: ['tools', 'system'] },
  { shape: 'alpaca', needs: ['instruction', 'output'], may: ['input', 'system', 'history'] },
  { shape: 'text', needs: ['text'], may: [] },
];

/** Names that often stand for one of ours; used to suggest a mapping, never silently. */
const lookalikes: Readonly<Record<string, ColumnName>> = {
  question: 'prompt',
  query: 'prompt',
  problem: 'prompt',
  source: 'prompt',
  answer: 'completion',
  response: 'completion',
  responses: 'completion',
  solution: 'completion',
  target: 'completion',
  chosen: 'completion',
  conversation: 'messages',
  dialog: 'messages',
  dialogue: 'messages',
  chat: 'messages',
  content: 'text',
  document: 'text',
  body: 'text',
  story: 'text',
};

/** Recognises the shape of a file from its first good row. @throws DataError that shows the columns and how to map them. */
export function detectShape(file: string, firstRow: unknown, mapping: ColumnMapping = {}): RowShape {
  if (!isObject(firstRow)) {
    throw new DataError({
      code: 'dataset-unknown-shape',
      message: `${file}: its rows are not objects with columns (found ${JSON.stringify(firstRow)?.slice(0, 60)}).`,
      remedy: 'Write each row as an object, for example {"prompt": "…", "completion": "…"}.',
    });
  }
  const found = Object.keys(firstRow);
  checkMapping(file, found, mapping);
  const mapped = Object.keys(mapping).length > 0;
  const nameOf = (column: ColumnName): string | null =>
    mapping[column] ?? (found.includes(column) ? column : null);
  // With a mapping, the mapped columns choose the shape; unmapped ones may still complete it.
  const known = shapes.find(
    ({ needs }) =>
      needs.every((c) => nameOf(c) !== null) && (!mapped || needs.some((c) => mapping[c] !== undefined)),
  );
  if (!known) throw unknownShape(file, found, mapping);
  const columns: ColumnMapping = {};
  for (const column of [...known.needs, ...known.may]) {
    const name = nameOf(column);
    if (name !== null) columns[column] = name;
  }
  return { shape: known.shape, columns, toSample: (row) => readRow(known.shape, columns, row) };
}

function readRow(shape: DatasetShape, columns: ColumnMapping, row: unknown): Sample {
  if (!isObject(row)) throw wrongType('the row', 'an object', row);
  const value = (column: ColumnName): unknown =>
    columns[column] === undefined ? undefined : row[columns[column]];
  const text = (column: ColumnName): string => {
    const found = value(column);
    if (typeof found === 'string') return found;
    if (typeof found === 'number' || typeof found === 'boolean') return String(found);
    throw wrongType(columns[column] ?? column, 'text', found);
  };
  const optional = (column: ColumnName): string =>
    value(column) === undefined || value(column) === null ? '' : text(column);
  const withSystem = (messages: ChatMessage[]): ChatMessage[] => {
    const system = optional('system');
    return system === '' || messages[0]?.role === 'system'
      ? messages
      : [{ role: 'system', content: system }, ...messages];
  };
  const tools = () => readTools(value('tools'), columns.tools ?? 'tools');

  switch (shape) {
    case 'messages':
    case 'sharegpt': {
      const column = shape === 'messages' ? 'messages' : 'conversations';
      const messages = withSystem(readMessages(value(column), columns[column]!));
      return { kind: 'chat', messages, tools: tools(), firstTrained: 0 };
    }
    case 'prompt-completion': {
      if (!isMessageList(value('prompt')) && !isMessageList(value('completion'))) {
        return { kind: 'completion', prompt: text('prompt'), completion: text('completion') };
      }
      const side = (column: 'prompt' | 'completion', role: 'user' | 'assistant'): ChatMessage[] =>
        typeof value(column) === 'string' && !isMessageList(value(column))
          ? [{ role, content: text(column) }]
          : readMessages(value(column), columns[column]!);
      const prompt = withSystem(side('prompt', 'user'));
      const messages = [...prompt, ...side('completion', 'assistant')];
      return { kind: 'chat', messages, tools: tools(), firstTrained: prompt.length };
    }
    case 'alpaca':
      return {
        kind: 'alpaca',
        system: optional('system'),
        instruction: text('instruction'),
        input: optional('input'),
        output: text('output'),
        history: readHistory(value('history'), columns.history ?? 'history'),
      };
    case 'text':
      return { kind: 'text', text: text('text') };
  }
}

/** A list of messages, or its JSON text as CSV holds it. */
function isMessageList(value: unknown): boolean {
  if (typeof value !== 'string') return Array.isArray(value);
  return /^\s*\[\s*\{\s*"(role|from|content|value)"/.test(value);
}

function readHistory(value: unknown, column: string): [string, string][] {
  if (value === undefined || value === null || value === '') return [];
  const pairs =
    Array.isArray(value) &&
    value.every((p) => Array.isArray(p) && p.length === 2 && p.every((t) => typeof t === 'string'));
  if (!pairs) throw wrongType(column, 'a list of [question, answer] pairs', value);
  return value as [string, string][];
}

function checkMapping(file: string, found: string[], mapping: ColumnMapping): void {
  const unknown = Object.keys(mapping).filter((name) => !(columnNames as readonly string[]).includes(name));
  if (unknown.length > 0) {
    throw new DataError({
      code: 'dataset-unknown-mapping',
      message: `${file}: the mapping has the unknown name ${unknown.join(', ')}; known are ${columnNames.join(', ')}.`,
      remedy:
        'Map our names to columns of the file, for example columns: {prompt: question, completion: answer}.',
    });
  }
  const missing = Object.entries(mapping).filter(([, column]) => !found.includes(column));
  if (missing.length > 0) {
    const list = missing.map(([name, column]) => `${name}: ${column}`).join(', ');
    throw new DataError({
      code: 'dataset-missing-column',
      message: `${file}: the mapping names columns that the first row does not have (${list}). Its columns: ${found.join(', ')}.`,
      remedy: 'Correct the column names in the mapping.',
    });
  }
}

function unknownShape(file: string, found: string[], mapping: ColumnMapping): DataError {
  const guess: Record<string, string> = { ...mapping };
  for (const column of found) {
    const name = lookalikes[column.toLowerCase()];
    if (name && !Object.hasOwn(guess, name)) guess[name] = column;
  }
  if (guess.messages) {
    delete guess.prompt;
    delete guess.completion;
    delete guess.text;
  } else if (guess.prompt || guess.completion) {
    guess.prompt ??= '<column>';
    guess.completion ??= '<column>';
    delete guess.text;
  }
  const shown =
    Object.keys(guess).length > 0
      ? guess
      : { prompt: found[0] ?? '<column>', completion: found[1] ?? '<column>' };
  const columns = Object.entries(shown)
    .map(([name, column]) => `${name}: ${column}`)
    .join(', ');
  return new DataError({
    code: 'dataset-unknown-shape',
    message: `${file}: the columns ${found.join(', ') || '(none)'} match no known shape (messages; conversations; prompt + completion; instruction + output; text).`,
    remedy: `Say which columns to use: dataset: [{path: ${file}, columns: {${columns}}}].`,
  });
}
