// In: a chat template and a conversation. Out: the rendered text and where the model speaks in it. Knows nothing of tokens, except the texts of special ones.
import type { ChatTemplate } from './chatTemplate';
import { generationMarks } from './chatTemplate';
import type { ChatMessage } from './messages';
import { RowProblem } from './rowProblem';
import { mark, TurnPatterns } from './turnPatterns';

/** [start, end) in UTF-16 units of the text. */
export type Span = [start: number, end: number];

export interface SpokenText {
  text: string;
  /** What the model must produce: each answer and the marker that ends its turn. */
  spans: Span[];
  /** False where the last answer ends the text and the template puts no marker behind it. */
  ended: boolean;
}

const sentinel = '\uF8F2answer\uF8F3';
const templateRemedy =
  'Use a chat template that renders each turn the same way whatever follows, or mark the answers with {% generation %}.';

/**
 * Finds the assistant turns of conversations rendered by one template.
 *
 * A turn begins where the rendering of the messages before it, with the generation prompt, ends: there generation
 * would start. Where that is no prefix of the whole (Qwen3 drops older thoughts), it begins at its content, found by
 * rendering again with a sentinel in its place. It ends with the template's end marker (`<|im_end|>`, `</s>`), the
 * white space behind the marker is not trained. {% generation %} blocks, where present, decide alone.
 */
export class AssistantSpans {
  private readonly ends: { last: string; middle: string };
  private readonly ignoresPrompt: boolean;
  private readonly patterns = new TurnPatterns();

  /** `specialTexts`: literal texts of the tokenizer's special tokens, longest first. */
  constructor(
    private readonly template: ChatTemplate,
    private readonly specialTexts: readonly string[],
  ) {
    const question: ChatMessage = { role: 'user', content: 'Q' };
    const answer: ChatMessage = { role: 'assistant', content: sentinel };
    const last = this.probe([question, answer]);
    const middle = this.probe([question, answer, question]);
    this.ends = this.endMarkers(last ?? '', middle ?? last ?? '');
    this.ignoresPrompt = this.promptIsIgnored(question);
  }

  /** Renders a conversation; turns before `firstTrained` are context only. @throws RowProblem */
  find(messages: readonly ChatMessage[], tools: unknown[] | null, firstTrained = 0): SpokenText {
    const full = this.render(messages, tools);
    if (this.template.marksGeneration) return fromMarks(full);
    const known = tools ? null : this.patterns.apply(full, messages, firstTrained);
    if (known) return known;
    const found = this.search(full, messages, tools, firstTrained);
    if (!tools && this.patterns.wants(messages, firstTrained)) {
      const marked = messages.map((message, i): ChatMessage => ({ role: message.role, content: mark(i) }));
      this.patterns.learn(found, messages, firstTrained, this.renderQuietly(marked, null, false));
    }
    return found;
  }

  private search(
    full: string,
    messages: readonly ChatMessage[],
    tools: unknown[] | null,
    firstTrained: number,
  ): SpokenText {
    const spans: Span[] = [];
    let ended = true;
    messages.forEach((message, i) => {
      if (message.role !== 'assistant' || i < firstTrained) return;
      const turn = this.turn(full, messages, i, tools, spans.at(-1)?.[1] ?? 0);
      spans.push(turn.span);
      if (i === messages.length - 1) ended = turn.marked;
    });
    return { text: full, spans, ended };
  }

  private turn(
    full: string,
    messages: readonly ChatMessage[],
    i: number,
    tools: unknown[] | null,
    after: number,
  ) {
    const content = messages[i]!.content.trim();
    const isLast = i === messages.length - 1;
    let swapped: { start: number; end: number } | null = null;
    const swap = () => {
      swapped ??= this.swapContent(full, messages, i, tools);
      return swapped;
    };

    let start = -1;
    if (!this.ignoresPrompt) {
      const prefix = this.renderQuietly(messages.slice(0, i), tools, true);
      if (prefix !== null && full.startsWith(prefix)) start = prefix.length;
    }
    if (start < 0) start = swap().start;

    const text = start + /^\s*/.exec(full.slice(start, start + 64))![0].length;
    let end = text + content.length;
    const plain = content !== '' && !messages[i]!.tool_calls && full.startsWith(content, text);
    let marker = plain ? this.markerAt(full, end, isLast) : null;
    if (marker === null) {
      end = swap().end;
      marker = this.markerAt(full, end, isLast);
    }
    if (marker === null) {
      // The end of another kind of turn (<|eom_id|>) may share its last letters with the usual one.
      const special = this.specialTexts.find((s) => {
        const at = full.lastIndexOf(s, end);
        return at >= start && at <= end && at + s.length > end;
      });
      if (special) end = full.lastIndexOf(special, end);
      marker = special ?? '';
    }
    if (start < after || end < start) {
      throw new RowProblem(
        `the chat template does not show where message ${i + 1} (assistant) begins and ends: its text changes with what follows or is left out.`,
        templateRemedy,
        'chat-template-inconsistent',
      );
    }
    return { span: [start, end + marker.length] as Span, marked: marker.trim() !== '' };
  }

  /** The end marker at a place: '' where the template has none, null where it should be and is not. */
  private markerAt(full: string, at: number, isLast: boolean): string | null {
    const { last, middle } = this.ends;
    const expected = isLast ? [last, middle] : [middle, last];
    const found = expected.find((marker) => marker !== '' && full.startsWith(marker, at));
    if (found !== undefined) return found;
    return expected[0] === '' ? '' : null;
  }

  /** Start and end of message i's content: what differs when a sentinel stands in its place. */
  private swapContent(full: string, messages: readonly ChatMessage[], i: number, tools: unknown[] | null) {
    const replaced = messages.map((m, k): ChatMessage => (k === i ? { role: m.role, content: sentinel } : m));
    const other = this.render(replaced, tools);
    let start = 0;
    while (start < full.length && full[start] === other[start]) start++;
    let tail = 0;
    while (tail < full.length && full[full.length - 1 - tail] === other[other.length - 1 - tail]) tail++;
    return { start, end: full === other ? -1 : full.length - tail };
  }

  private endMarkers(last: string, middle: string): { last: string; middle: string } {
    const special = (tail: string, space: RegExp) => {
      const lead = space.exec(tail)?.[0] ?? '';
      const found = this.specialTexts.find((s) => tail.startsWith(s, lead.length));
      return found === undefined ? null : lead + found;
    };
    const end = special(last, /^\s*/) ?? sharedWord(last, middle);
    if (end === '' || middle.startsWith(end)) return { last: end, middle: end };
    return { last: end, middle: special(middle, /^/) ?? '' };
  }

  /** The template's text behind an answer, or null when it refuses the probe. */
  private probe(messages: readonly ChatMessage[]): string | null {
    const text = this.renderQuietly(messages, null, false)?.replaceAll(/[\uF8F0\uF8F1]/g, '');
    const at = text?.indexOf(sentinel) ?? -1;
    return at < 0 ? null : text!.slice(at + sentinel.length);
  }

  private promptIsIgnored(question: ChatMessage): boolean {
    const without = this.renderQuietly([question], null, false);
    return without !== null && without === this.renderQuietly([question], null, true);
  }

  private render(messages: readonly ChatMessage[], tools: unknown[] | null): string {
    try {
      return this.template.render(messages, { tools });
    } catch (error) {
      throw new RowProblem(
        `the chat template refuses the conversation: ${(error as Error).message}`,
        'Change the row to what the template accepts (its order of roles, its system message), or use another chat_template.',
        'chat-template-failed',
      );
    }
  }

  private renderQuietly(
    messages: readonly ChatMessage[],
    tools: unknown[] | null,
    prompt: boolean,
  ): string | null {
    try {
      return this.template.render(messages, { tools, addGenerationPrompt: prompt });
    } catch {
      return null;
    }
  }
}

/** The first word that both tails begin with, without the opening bracket of a marker that follows. */
function sharedWord(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  const word = /^\s*\S+/.exec(a.slice(0, length))?.[0] ?? '';
  return length < Math.max(a.length, b.length) ? word.replace(/[<[|]+$/, '').trimEnd() : word;
}

function fromMarks(marked: string): SpokenText {
  const spans: Span[] = [];
  let text = '';
  let start = -1;
  for (const part of marked.split(/([\uF8F0\uF8F1])/)) {
    if (part === generationMarks.open) start = text.length;
    else if (part === generationMarks.close) {
      if (start >= 0 && text.length > start) spans.push([start, text.length]);
      start = -1;
    } else text += part;
  }
  return { text, spans, ended: true };
}
