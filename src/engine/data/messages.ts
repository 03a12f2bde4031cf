// In: one conversation of a dataset row, in the spellings that datasets use. Out: messages as chat templates expect them. Knows nothing of templates or tokens.
import { RowProblem } from './rowProblem';
import type { JsonObject } from './tokenizerFiles';
import { isObject } from './tokenizerFiles';

export type ChatRole = 'system' | 'user' | 'assistant' | 'tool';

export interface ToolCall {
  type: 'function';
  function: { name: string; arguments: unknown };
}

export interface ChatMessage {
  role: ChatRole;
  content: string;
  /** The model's thoughts before its answer, for templates that know them (Qwen3). */
  reasoning_content?: string;
  tool_calls?: ToolCall[];
  name?: string;
  tool_call_id?: string;
}

const roles: Readonly<Record<string, ChatRole>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  prompter: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  bot: 'assistant',
  model: 'assistant',
  function_call: 'assistant',
  tool_call: 'assistant',
  tool: 'tool',
  function: 'tool',
  function_response: 'tool',
  observation: 'tool',
  ipython: 'tool',
};
const callRoles = ['function_call', 'tool_call'];
const maxMessages = 10_000;

/** Reads a list of messages, `{role, content}` or `{from, value}`; `column` names it in problems. */
export function readMessages(value: unknown, column: string): ChatMessage[] {
  const list = parseIfText(value, column);
  if (!Array.isArray(list)) {
    throw wrongType(column, 'a list of messages', list);
  }
  if (list.length === 0) {
    throw new RowProblem(
      `${column} is an empty list.`,
      'Remove the row or give it at least one user and one assistant message.',
    );
  }
  if (list.length > maxMessages) {
    throw new RowProblem(
      `${column} has ${list.length} messages, more than ${maxMessages}.`,
      'Split the conversation into several rows.',
    );
  }
  return list.map((item, i) => readMessage(item, `${column}[${i}]`));
}

/** Reads a tools column: a list, or JSON text of one; empty means none. */
export function readTools(value: unknown, column: string): unknown[] | null {
  if (value === undefined || value === null || value === '') return null;
  const list = parseIfText(value, column);
  if (!Array.isArray(list)) throw wrongType(column, 'a list of tool descriptions', list);
  return list.length > 0 ? list : null;
}

function readMessage(item: unknown, where: string): ChatMessage {
  if (!isObject(item)) throw wrongType(where, 'an object with role and content', item);
  const [roleKey, contentKey] = 'from' in item && !('role' in item) ? ['from', 'value'] : ['role', 'content'];
  const spelled = item[roleKey];
  if (typeof spelled !== 'string') throw wrongType(`${where}.${roleKey}`, 'the name of a role', spelled);
  const role = Object.hasOwn(roles, spelled.toLowerCase()) ? roles[spelled.toLowerCase()] : undefined;
  if (!role) {
    throw new RowProblem(
      `${where} has the unknown role ${JSON.stringify(spelled)}.`,
      `Use one of the roles system, user, assistant, tool (or ${Object.keys(roles).slice(4, 9).join(', ')}, …).`,
      'dataset-unknown-role',
    );
  }
  const content = [contentKey, 'content', 'value']
    .map((key) => item[key])
    .find((given) => given !== undefined);
  if (callRoles.includes(spelled.toLowerCase())) return callMessage(content, `${where}.${contentKey}`);
  const message: ChatMessage = { role, ...readContent(content, item, `${where}.${contentKey}`) };
  const calls = readCalls(item.tool_calls, `${where}.tool_calls`);
  if (calls.length > 0) message.tool_calls = [...(message.tool_calls ?? []), ...calls];
  const thoughts = item.reasoning_content ?? item.thinking;
  if (typeof thoughts === 'string' && thoughts !== '') message.reasoning_content = thoughts;
  if (typeof item.name === 'string') message.name = item.name;
  if (typeof item.tool_call_id === 'string') message.tool_call_id = item.tool_call_id;
  return message;
}

type Content = Pick<ChatMessage, 'content' | 'reasoning_content' | 'tool_calls'>;

function readContent(content: unknown, item: JsonObject, where: string): Content {
  if (typeof content === 'string') return { content };
  // A turn that only calls tools has null content.
  if ((content === null || content === undefined) && item.tool_calls) return { content: '' };
  if (!Array.isArray(content)) throw wrongType(where, 'text or a list of parts', content);
  const result: Content = { content: '' };
  content.forEach((part, i) => {
    const place = `${where}[${i}]`;
    if (typeof part === 'string') {
      result.content += part;
      return;
    }
    if (!isObject(part)) throw wrongType(place, 'a part with a type and text', part);
    const type = part.type ?? 'text';
    const text = part.text ?? part.value ?? part.content ?? part[String(type)];
    if (type === 'tool_call') {
      result.tool_calls = [...(result.tool_calls ?? []), ...readCallText(text, place)];
    } else if (typeof text !== 'string' || !['text', 'reasoning', 'thinking'].includes(String(type))) {
      throw new RowProblem(
        `${place} is a part of type ${JSON.stringify(type)}; only text parts can be trained on.`,
        'Remove the parts that are not text, or the row.',
      );
    } else if (type === 'text') {
      result.content += text;
    } else {
      result.reasoning_content = (result.reasoning_content ?? '') + text;
    }
  });
  return result;
}

/** A ShareGPT function_call turn: its JSON becomes tool calls; other text stays as it is. */
function callMessage(content: unknown, where: string): ChatMessage {
  const calls = readCallText(content, where);
  return { role: 'assistant', content: '', tool_calls: calls };
}

function readCallText(content: unknown, where: string): ToolCall[] {
  let parsed = content;
  if (typeof content === 'string') {
    try {
      parsed = JSON.parse(content);
    } catch (error) {
      throw new RowProblem(
        `${where} is a function call but not JSON (${(error as Error).message}).`,
        'Write the call as {"name": …, "arguments": {…}}.',
      );
    }
  }
  return readCalls(Array.isArray(parsed) ? parsed : [parsed], where);
}

function readCalls(value: unknown, where: string): ToolCall[] {
  if (value === undefined || value === null) return [];
  const list = parseIfText(value, where);
  if (!Array.isArray(list)) throw wrongType(where, 'a list of tool calls', list);
  return list.map((call, i) => {
    const body = isObject(call) && isObject(call.function) ? call.function : call;
    if (!isObject(body) || typeof body.name !== 'string') {
      throw wrongType(`${where}[${i}]`, 'a tool call {"name": …, "arguments": {…}}', call);
    }
    return { type: 'function', function: { name: body.name, arguments: parseArguments(body.arguments) } };
  });
}

/** Templates print arguments as JSON, so JSON text is parsed first, as transformers asks for. */
function parseArguments(value: unknown): unknown {
  if (typeof value !== 'string') return value ?? {};
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** CSV cells and some JSON columns hold lists as JSON text. */
function parseIfText(value: unknown, column: string): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch (error) {
    throw new RowProblem(
      `${column} is text that is not JSON (${(error as Error).message}).`,
      `Write ${column} as a list, or as the JSON text of one.`,
    );
  }
}

export function wrongType(where: string, expected: string, found: unknown): RowProblem {
  const name =
    found === undefined
      ? 'missing'
      : found === null
        ? 'null'
        : Array.isArray(found)
          ? 'a list'
          : typeof found;
  const shown = ['string', 'number', 'boolean'].includes(typeof found)
    ? ` ${JSON.stringify(found).slice(0, 60)}`
    : '';
  return new RowProblem(
    `${where} is ${name}${shown}, expected ${expected}.`,
    `Make ${where.replace(/\[.*/, '')} ${expected} in every row.`,
  );
}
