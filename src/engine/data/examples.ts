// In: samples and a tokenizer. Out: token ids with the mask of what is learned, as TRL builds them. Knows nothing of files, batches or truncation.

import type { Span } from './assistantSpans';
import { AssistantSpans } from './assistantSpans';
import type { ChatTemplate } from './chatTemplate';
import { generationMarks } from './chatTemplate';
import { conversationFormat } from './conversation';
import type { EncodingOptions } from './dataset';
import type { ChatMessage } from './messages';
import { RowProblem } from './rowProblem';
import type { Sample } from './shapes';
import type { Tokenizer } from './tokenizer';

export interface EncodedSample {
  ids: number[];
  trained: Uint8Array;
}

/**
 * Encodes samples:
 * - text: the text, then EOS; every token is learned.
 * - prompt and completion as texts: joined as they are, tokenized as one text (as TRL does), then EOS; the completion
 *   and EOS are learned. A chat template is not applied.
 * - conversations: through the chat template, tokenized without added special tokens, since the template writes its
 *   own; assistant turns with their end-of-turn token are learned. EOS is added only where the template ends the last
 *   answer with nothing at all (TRL adds none; the model would never learn to stop).
 * - Alpaca: a conversation where the model has a chat template, else Stanford's prompt text and a completion.
 * BOS comes first where the tokenizer wants it, once.
 */
export class ExampleEncoder {
  /** Sentences for the report. */
  readonly notes = new Set<string>();
  /** Ids that the tokenizer puts before and after any text. */
  readonly prefix: readonly number[];
  private readonly suffix: readonly number[];
  private readonly template: ChatTemplate;
  private readonly spans: AssistantSpans;
  private readonly ownTemplate: boolean;
  private readonly trainAll: boolean;
  private readonly knowsThoughts: boolean;

  /** @throws DataError for a chat template that cannot be read */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: EncodingOptions,
  ) {
    this.trainAll = options.train_on === 'all';
    const around = tokenizer.encode('a');
    const plain = tokenizer.encode('a', { specialTokens: false });
    let before = 0;
    while (before < around.length - plain.length && around[before] !== plain[0]) before++;
    this.prefix = around.slice(0, before);
    this.suffix = around.slice(before + plain.length);

    const format = conversationFormat(tokenizer, options.chat_template);
    this.ownTemplate = format.own;
    this.template = format.template;
    this.spans = new AssistantSpans(this.template, tokenizer.specialTexts);
    this.knowsThoughts = format.source.includes('reasoning_content');
    if (tokenizer.eosId === null) {
      this.notes.add(
        'The tokenizer names no EOS token, so no example ends with one and the model does not learn to stop.',
      );
    }
  }

  /** @throws RowProblem */
  encode(sample: Sample): EncodedSample {
    const encoded = this.encodeKind(sample);
    encoded.trained[0] = 0;
    this.checkVocabulary(encoded.ids);
    return encoded;
  }

  /** Ids of a piece of running text, without special tokens. */
  encodePiece(text: string): number[] {
    const ids = this.tokenizer.encode(text, { specialTokens: false });
    this.checkVocabulary(ids);
    return ids;
  }

  private encodeKind(sample: Sample): EncodedSample {
    switch (sample.kind) {
      case 'text':
        return this.encodeTexts('', sample.text, true);
      case 'completion':
        if (this.ownTemplate) {
          this.notes.add(
            'Prompts and completions are joined as they are written; the chat template is not applied to plain texts (give them as messages for that).',
          );
        }
        return this.encodeTexts(sample.prompt, sample.completion, this.trainAll);
      case 'alpaca':
        if (this.ownTemplate) return this.encodeChat(alpacaMessages(sample), null, 0);
        this.notes.add(
          "The model has no chat template; Alpaca rows are written in Stanford Alpaca's prompt format.",
        );
        return this.encodeTexts(alpacaPrompt(sample), sample.output, this.trainAll);
      case 'chat':
        return this.encodeChat(sample.messages, sample.tools, sample.firstTrained);
    }
  }

  private encodeTexts(context: string, learned: string, all: boolean): EncodedSample {
    const text = context + learned;
    const body = this.encodeBody(text, all ? [[0, text.length]] : [[context.length, text.length]]);
    const end = [...this.suffix];
    const { eosId } = this.tokenizer;
    const closed = (end.at(-1) ?? body.ids.at(-1)) === eosId;
    if (eosId !== null && !closed) end.push(eosId);
    const ids = [...this.prefix, ...body.ids, ...end];
    const trained = new Uint8Array(ids.length).fill(1);
    trained.fill(all ? 1 : 0, 0, this.prefix.length);
    trained.set(body.trained, this.prefix.length);
    return { ids, trained };
  }

  private encodeChat(
    given: readonly ChatMessage[],
    givenTools: unknown[] | null,
    firstTrained: number,
  ): EncodedSample {
    if (!this.ownTemplate) {
      this.notes.add(
        'The model has no chat template; conversations are written as "### User:" and "### Assistant:" blocks with EOS behind each answer.',
      );
    }
    const tools = this.template.knowsTools ? givenTools : null;
    const messages = this.template.knowsTools ? given : given.map((message) => this.withoutTools(message));
    if (givenTools && !tools)
      this.notes.add('The chat template knows no tools; the descriptions of tools are left out.');
    if (!this.knowsThoughts && messages.some((message) => message.reasoning_content)) {
      this.notes.add(
        'The chat template leaves out the reasoning of assistant messages; only the answers are trained.',
      );
    }
    if (this.template.marksGeneration && messages.some((m) => hasMarks(m.content))) {
      throw new RowProblem(
        'a message holds the private characters U+F8F0 or U+F8F1.',
        'Remove these characters from the row.',
      );
    }
    const spoken = this.spans.find(messages, tools, firstTrained);
    let { text } = spoken;
    const spans = [...spoken.spans];
    const { eosToken } = this.tokenizer;
    const last = spans.at(-1);
    if (!spoken.ended && last && eosToken !== null) {
      this.notes.add('The chat template ends answers with nothing; EOS is added behind the last answer.');
      text = text.slice(0, last[1]) + eosToken;
      spans[spans.length - 1] = [last[0], text.length];
    }
    return this.encodeBody(text, this.trainAll ? [[0, text.length]] : spans);
  }

  /** For templates without tools: a call becomes its JSON as the answer, a tool's answer becomes a user's turn. */
  private withoutTools(message: ChatMessage): ChatMessage {
    if (message.role !== 'tool' && !message.tool_calls) return message;
    this.notes.add(
      'The chat template knows no tools; tool calls are written as JSON answers and tool results as user turns.',
    );
    if (message.role === 'tool') return { role: 'user', content: message.content };
    const calls = message.tool_calls!.map((call) => JSON.stringify(call.function)).join('\n');
    return { role: 'assistant', content: message.content === '' ? calls : `${message.content}\n${calls}` };
  }

  /** Encodes a text without special tokens; a token is learned where it shares a byte with a span. */
  private encodeBody(text: string, spans: readonly Span[]): EncodedSample {
    const { ids, spans: places } = this.tokenizer.encodeWithSpans(text);
    const trained = new Uint8Array(ids.length);
    if (spans.length === 1 && spans[0]![0] === 0 && spans[0]![1] === text.length) {
      return { ids, trained: trained.fill(1) };
    }
    let token = 0;
    let chars = 0;
    let bytes = 0;
    const byteAt = (at: number): number => {
      bytes += Buffer.byteLength(text.slice(chars, at));
      chars = at;
      return bytes;
    };
    for (const [start, end] of spans) {
      if (places) {
        const [from, to] = [byteAt(start), byteAt(end)];
        while (token < ids.length && places.ends[token]! <= from) token++;
        for (; token < ids.length && places.starts[token]! < to; token++) trained[token] = 1;
      } else {
        const from = this.tokensBefore(ids, text.slice(0, start)).shared;
        const { shared, whole } = this.tokensBefore(ids, text.slice(0, end));
        trained.fill(1, from, whole ? shared : shared + 1);
      }
    }
    return { ids, trained };
  }

  /** How many tokens of the whole text a beginning of it shares; `whole` when it ends with a token's end. */
  private tokensBefore(ids: readonly number[], beginning: string): { shared: number; whole: boolean } {
    const part = this.tokenizer.encode(beginning, { specialTokens: false });
    let shared = 0;
    while (shared < part.length && part[shared] === ids[shared]) shared++;
    return { shared, whole: shared === part.length };
  }

  private checkVocabulary(ids: readonly number[]): void {
    const size = this.options.model_vocab_size;
    if (size === undefined) return;
    const beyond = ids.find((id) => id >= size);
    if (beyond === undefined) return;
    throw new RowProblem(
      `the tokenizer's token ${JSON.stringify(this.tokenizer.tokenText(beyond))} has id ${beyond}, the model's embedding only ${size} rows.`,
      'Use the tokenizer that belongs to the model.',
      'tokenizer-model-mismatch',
    );
  }
}

type AlpacaSample = Extract<Sample, { kind: 'alpaca' }>;

function alpacaMessages(sample: AlpacaSample): ChatMessage[] {
  const question = sample.input === '' ? sample.instruction : `${sample.instruction}\n${sample.input}`;
  return [
    ...(sample.system === '' ? [] : [{ role: 'system' as const, content: sample.system }]),
    ...sample.history.flatMap(([user, assistant]): ChatMessage[] => [
      { role: 'user', content: user },
      { role: 'assistant', content: assistant },
    ]),
    { role: 'user', content: question },
    { role: 'assistant', content: sample.output },
  ];
}

/** Stanford Alpaca's prompt, word for word. */
function alpacaPrompt(sample: AlpacaSample): string {
  const history = sample.history
    .map(([user, assistant]) => `### Instruction:\n${user}\n\n### Response:\n${assistant}\n\n`)
    .join('');
  const head =
    sample.system !== ''
      ? `${sample.system}\n\n`
      : sample.input === ''
        ? 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n'
        : 'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n';
  const input = sample.input === '' ? '' : `### Input:\n${sample.input}\n\n`;
  return `${head}${history}### Instruction:\n${sample.instruction}\n\n${input}### Response:\n`;
}

function hasMarks(text: string): boolean {
  return text.includes(generationMarks.open) || text.includes(generationMarks.close);
}
