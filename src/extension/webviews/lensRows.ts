// One encoded row → what the page shows of it: segments of tokens, each token masked, trained or cut. Pure.
import type { EncodedSample, Sample, Tokenizer } from '../../engine/data';
import type { LensRow, LensSegment, LensSettings, TokenKind } from '../../protocol/panels/lens';

/** Tokens of one row that are sent to the page. */
const shownTokens = 6000;

type Cutting = Pick<LensSettings, 'max_length' | 'truncation'>;

/** [from, to) of the tokens that truncation takes out; empty where it takes none. */
export function cutRange(
  tokens: number,
  prefix: number,
  { max_length, truncation }: Cutting,
): [number, number] {
  if (tokens <= max_length) return [0, 0];
  switch (truncation) {
    case 'drop':
      return [0, tokens];
    case 'left': {
      const keep = Math.min(prefix, max_length - 1);
      return [keep, tokens - (max_length - keep)];
    }
    default:
      return [max_length, tokens];
  }
}

export interface RowInput {
  index: number;
  line: number | null;
  encoded: EncodedSample;
  sample: Sample | null;
  /** Leading special tokens that a left cut keeps. */
  prefix: number;
}

/** Describes a row. `specialIds` are the ids that the tokenizer marks as special. */
export function describeRow(
  { index, line, encoded, sample, prefix }: RowInput,
  tokenizer: Tokenizer,
  specialIds: ReadonlySet<number>,
  cutting: Cutting,
): Omit<LensRow, 'problems' | 'error'> {
  const { ids, trained } = encoded;
  const [from, to] = cutRange(ids.length, prefix, cutting);
  const kindOf = (t: number): TokenKind => (t >= from && t < to ? 2 : trained[t] === 1 ? 1 : 0);
  const counts = [0, 0, 0];
  for (let t = 0; t < ids.length; t++) counts[kindOf(t)]!++;
  const last = trained.lastIndexOf(1);
  const ends = tokenizer.eosIds;
  const isEnd = (t: number): boolean => ends.includes(ids[t]!);
  let end: LensRow['end'] = 'none';
  for (let t = ids.length - 1; t >= 0 && end === 'none'; t--) {
    // The end of the last answer: behind what is trained stands at most white space.
    if (isEnd(t) && t >= last) end = (['masked', 'trained', 'cut'] as const)[kindOf(t)];
  }
  const count = Math.min(ids.length, shownTokens);
  const texts = tokenTexts(ids.slice(0, count), tokenizer);
  const segments = splitAt(boundaries(texts, ids, trained, sample, specialIds), count).map(
    ({ who, start, end: stop }): LensSegment => {
      const range = Array.from({ length: stop - start }, (_, i) => start + i);
      return {
        who,
        ids: range.map((t) => ids[t]!),
        texts: texts.slice(start, stop),
        kinds: range.map(kindOf),
        ends: range.flatMap((t, i) => (isEnd(t) && (trained[t] === 1 || t >= last) ? [i] : [])),
        special: range.flatMap((t, i) => (specialIds.has(ids[t]!) ? [i] : [])),
      };
    },
  );
  return {
    index,
    line,
    tokens: ids.length,
    masked: counts[0]!,
    trained: counts[1]!,
    cut: counts[2]!,
    end,
    segments,
    hidden: ids.length - count,
  };
}

/** The text of each token; of a character that takes several, the last has it. */
export function tokenTexts(ids: readonly number[], tokenizer: Tokenizer): string[] {
  const stream = tokenizer.stream({ skipSpecialTokens: false });
  const texts = ids.map((id) => stream.push(id));
  const rest = stream.end();
  if (rest !== '' && texts.length > 0) texts[texts.length - 1] += rest;
  return texts;
}

interface Boundary {
  who: string;
  /** First token. */
  start: number;
}

function splitAt(bounds: readonly Boundary[], count: number): { who: string; start: number; end: number }[] {
  return bounds
    .map(({ who, start }, i) => ({ who, start, end: Math.min(count, bounds[i + 1]?.start ?? count) }))
    .filter(({ start, end }) => start < end);
}

function boundaries(
  texts: readonly string[],
  ids: readonly number[],
  trained: Uint8Array,
  sample: Sample | null,
  specialIds: ReadonlySet<number>,
): Boundary[] {
  if (sample === null || sample.kind === 'text') return [{ who: 'text', start: 0 }];
  const turns = sample.kind === 'chat' ? turnBoundaries(texts, ids, sample.messages, specialIds) : undefined;
  return turns ?? runBoundaries(texts.length, trained);
}

/** Where each message begins: behind the special token that ends the one before it. */
function turnBoundaries(
  texts: readonly string[],
  ids: readonly number[],
  messages: readonly { role: string; content: string }[],
  specialIds: ReadonlySet<number>,
): Boundary[] | undefined {
  const starts: number[] = [];
  let length = 0;
  for (const text of texts) {
    starts.push(length);
    length += text.length;
  }
  const full = texts.join('');
  const tokenAt = (at: number): number => {
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const result: Boundary[] = [];
  let at = 0;
  let token = 0;
  for (const { role, content } of messages) {
    if (token >= texts.length) break;
    result.push({ who: role, start: token });
    const words = content.trim();
    const found = words === '' ? at : full.indexOf(words, at);
    if (found < 0) {
      // Templates may rewrite a message; a row cut for display ends early.
      if (full.length >= 1 && result.length > 1 && texts.length >= shownTokens) break;
      return undefined;
    }
    at = found + words.length;
    token = tokenAt(at);
    for (let n = 0; n < 3 && token + n < ids.length; n++) {
      if (!specialIds.has(ids[token + n]!)) continue;
      token += n + 1;
      break;
    }
    while (token < texts.length && texts[token]!.trim() === '' && texts[token] !== '') token++;
    at = Math.max(at, starts[token] ?? full.length);
  }
  return result;
}

/** Masked and trained stretches. */
function runBoundaries(count: number, trained: Uint8Array): Boundary[] {
  const result: Boundary[] = [];
  for (let t = 0; t < count; t++) {
    if (t === 0 || trained[t] !== trained[t - 1])
      result.push({ who: trained[t] === 1 ? 'answer' : 'prompt', start: t });
  }
  return result;
}
