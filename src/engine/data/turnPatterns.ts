// In: conversations whose turns were found once. Out: the turns of others with the same roles, without rendering their prefixes. Only ever a shortcut: a text that does not fit is left to the full search.
import type { Span, SpokenText } from './assistantSpans';
import type { ChatMessage } from './messages';

/** The fixed texts around the contents of a conversation, and where in them the trained turns begin and end. */
interface Pattern {
  /** One before each content, and one behind the last. */
  literals: string[];
  /** Per trained turn: its message, characters from its start to its content, and from its content to its end. */
  turns: { message: number; before: number; behind: number }[];
}

const maxPatterns = 1000;

/** Remembers, per sequence of roles, what a template writes around the contents. */
export class TurnPatterns {
  private readonly patterns = new Map<string, Pattern | null>();

  /** The turns, or null where they must be searched. */
  apply(full: string, messages: readonly ChatMessage[], firstTrained: number): SpokenText | null {
    const pattern = this.patterns.get(keyOf(messages, firstTrained));
    const contents = pattern && locate(full, messages, pattern.literals);
    if (!contents) return null;
    const spans = pattern.turns.map(({ message, before, behind }): Span => {
      const [start, end] = contents[message]!;
      return [start - before, end + behind];
    });
    return { text: full, spans, ended: true };
  }

  /** Whether this sequence of roles is still to be learned. */
  wants(messages: readonly ChatMessage[], firstTrained: number): boolean {
    const plain = messages.every((message) => !message.tool_calls && !message.reasoning_content);
    return plain && this.patterns.size < maxPatterns && !this.patterns.has(keyOf(messages, firstTrained));
  }

  /**
   * Learns from a conversation whose turns are known. `skeleton` is its rendering with `mark(i)` as content i; null
   * where the template refuses it.
   */
  learn(
    spoken: SpokenText,
    messages: readonly ChatMessage[],
    firstTrained: number,
    skeleton: string | null,
  ): void {
    const literals = skeleton === null ? null : split(skeleton, messages.length);
    const contents = literals && locate(spoken.text, messages, literals);
    const trained = messages.flatMap((m, i) => (m.role === 'assistant' && i >= firstTrained ? [i] : []));
    let pattern: Pattern | null = null;
    if (literals && contents && trained.length === spoken.spans.length) {
      const turns = trained.map((message, k) => {
        const [start, end] = spoken.spans[k]!;
        return { message, before: contents[message]![0] - start, behind: end - contents[message]![1] };
      });
      // A turn must lie within the fixed texts around its content, and end with a marker of its own.
      const inside = turns.every(
        ({ message, before, behind }) =>
          before >= 0 &&
          before <= literals[message]!.length &&
          behind > 0 &&
          behind <= literals[message + 1]!.length,
      );
      if (inside && spoken.ended) pattern = { literals, turns };
    }
    this.patterns.set(keyOf(messages, firstTrained), pattern);
  }
}

/** Stands for content i in a skeleton; private-use characters. */
export function mark(i: number): string {
  return `\uF8F2${i}\uF8F3`;
}

function keyOf(messages: readonly ChatMessage[], firstTrained: number): string {
  let key = `${firstTrained}`;
  for (const message of messages) {
    key += message.role[0];
    if (message.tool_calls || message.reasoning_content) key += '!';
  }
  return key;
}

function split(skeleton: string, count: number): string[] | null {
  const literals: string[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const found = skeleton.indexOf(mark(i), at);
    if (found < 0) return null;
    literals.push(skeleton.slice(at, found));
    at = found + mark(i).length;
  }
  literals.push(skeleton.slice(at));
  return literals.some((literal) => /[\uF8F2\uF8F3]/.test(literal)) ? null : literals;
}

/** Where the contents lie, as they are or trimmed, if fixed texts and contents make up the whole text exactly. */
function locate(full: string, messages: readonly ChatMessage[], literals: readonly string[]): Span[] | null {
  const spans: Span[] = [];
  let at = 0;
  for (let i = 0; i < messages.length; i++) {
    if (!full.startsWith(literals[i]!, at)) return null;
    at += literals[i]!.length;
    const { content } = messages[i]!;
    const written = full.startsWith(content, at) ? content : content.trim();
    if (!full.startsWith(written, at)) return null;
    spans.push([at, at + written.length]);
    at += written.length;
  }
  return full.length - at === literals.at(-1)!.length && full.endsWith(literals.at(-1)!) ? spans : null;
}
