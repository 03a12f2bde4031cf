// In: a chat template's source, from a tokenizer or a person. Out: conversations rendered as transformers renders them. Knows nothing of tokens or training.

import { join } from 'node:path';
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { DataError } from '../errors';
import type { ChatMessage } from './messages';
import type { TokenizerFiles } from './tokenizerFiles';
import { isObject } from './tokenizerFiles';

/**
 * The format for models that come without a chat template: headings in plain text, and EOS behind each answer.
 * It needs no special token that the model has not seen.
 */
export const defaultChatTemplate = `{{ bos_if_wanted }}{% for message in messages %}{% if not loop.first %}{{ '\n\n' }}{% endif %}{{ '### ' + message['role'] | capitalize + ':\n' + message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\n\n### Assistant:\n' }}{% endif %}`;

/** Marks the ends of {% generation %} blocks in the output; private-use characters, refused in the input. */
export const generationMarks = { open: '\uF8F0', close: '\uF8F1' } as const;

/** A stranger's template must not spin: it may loop over its messages, not over a made-up range. */
const maxRange = 100_000;
const maxSourceLength = 1024 * 1024;

export interface RenderOptions {
  tools?: unknown[] | null;
  addGenerationPrompt?: boolean;
}

export class ChatTemplate {
  private readonly shared: Environment;
  private readonly program: ReturnType<typeof parse>;
  /** Whether {% generation %} blocks mark what the model is to say. */
  readonly marksGeneration: boolean;
  /** Whether the template handles tool calls and tool answers at all. */
  readonly knowsTools: boolean;

  /** @throws DataError when the source is no template; `origin` names it in the message. */
  constructor(source: string, variables: Readonly<Record<string, string>>, origin = 'the chat template') {
    // Once for all renderings. The library's own set-up would bring today's date and a range without bound.
    this.shared = new Environment();
    const given: Record<string, unknown> = { ...variables, ...globals, documents: null };
    for (const [name, value] of Object.entries(given)) this.shared.set(name, value);
    const tag = /(^[ \t]*)?\{%(-?)\s*(end)?generation\s*(-?)%\}\n?/gm;
    this.marksGeneration = /\{%-?\s*generation\s*-?%\}/.test(source);
    this.knowsTools = source.includes('tool_calls');
    try {
      if (source.length > maxSourceLength) throw new Error(`it has ${source.length} characters`);
      const marked = source.replace(
        tag,
        (_, _indent, left, end, right) =>
          `{{${left} '${end ? generationMarks.close : generationMarks.open}' ${right}}}`,
      );
      // As transformers sets Jinja up.
      this.program = parse(tokenize(marked, { lstrip_blocks: true, trim_blocks: true }));
    } catch (error) {
      throw new DataError({
        code: 'chat-template-broken',
        // The parser runs past the end of a source that stops within a tag or a block.
        message: `${origin} is not a template that can be read (${error instanceof TypeError ? 'it ends before all its tags and blocks are closed' : (error as Error).message}).`,
        remedy: "Replace it with the one on the model's page, or give another one as chat_template.",
        cause: error,
      });
    }
  }

  /** Renders a conversation; throws whatever the template raises. */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const environment = new Environment(this.shared);
    environment.set('messages', messages);
    environment.set('tools', options.tools ?? null);
    environment.set('add_generation_prompt', options.addGenerationPrompt ?? false);
    return String(new Interpreter(environment).run(this.program).value);
  }
}

const globals = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  raise_exception: (message: string): never => {
    throw new Error(message);
  },
  strftime_now: fixedDate,
  range: boundedRange,
};

/** The template of a tokenizer: chat_template.jinja, else tokenizer_config.json's text or its "default". */
export function templateSource(files: TokenizerFiles): string | null {
  if (files.templateFile !== null) return files.templateFile;
  const value = files.config.chat_template;
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return value;
  const named: [string, unknown][] = Array.isArray(value)
    ? value.map((entry) => (isObject(entry) ? [String(entry.name), entry.template] : ['', null]))
    : isObject(value)
      ? Object.entries(value)
      : [];
  const chosen = named.find(([name]) => name === 'default') ?? (named.length === 1 ? named[0] : undefined);
  if (typeof chosen?.[1] === 'string') return chosen[1];
  throw new DataError({
    code: 'chat-template-broken',
    message: `${join(files.folder, 'tokenizer_config.json')}: chat_template is neither text nor a list with a template named "default" (found ${named.map(([name]) => name).join(', ') || typeof value}).`,
    remedy: 'Put the wanted template into chat_template.jinja beside it.',
  });
}

/**
 * Templates that print today's date get one fixed date (Llama 3.2's own fallback): the training data must not change
 * from one day to the next.
 */
function fixedDate(format: string): string {
  const parts: Record<string, string> = {
    '%d': '26',
    '%b': 'Jul',
    '%B': 'July',
    '%Y': '2024',
    '%m': '07',
    '%y': '24',
    '%A': 'Friday',
    '%H': '00',
    '%M': '00',
    '%S': '00',
  };
  return String(format).replace(/%[a-zA-Z]/g, (code) => parts[code] ?? code);
}

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw new Error('range() step must not be zero');
  if (Math.abs((to - from) / step) > maxRange) throw new Error(`range() over more than ${maxRange} values`);
  const values: number[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) values.push(i);
  return values;
}
