// In: a tokenizer's description, and token ids with the text they came from. Out: the UTF-8 bytes of a token and the span of each token in the text. Knows nothing of rows.
import type { JsonObject } from './tokenizerFiles';
import { isObject } from './tokenizerFiles';

/** GPT-2's printable spelling of the 256 bytes: the inverse of its bytes_to_unicode table. */
const byteOfLetter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    map.set(String.fromCodePoint(printable(byte) ? byte : next++), byte);
  }
  return map;
})();

const space = 0x20;
const isSpace = (byte: number | undefined) =>
  byte === space || (byte !== undefined && byte >= 9 && byte <= 13);

/** Spells the tokens of one tokenizer in bytes. */
export class TokenSpelling {
  private readonly byteLevel: boolean;
  private readonly subwordPrefix: string | null;
  private readonly known = new Map<number, Buffer>();

  /** `added` maps the ids of added tokens to their literal text. */
  constructor(
    tokenizer: JsonObject,
    private readonly added: ReadonlyMap<number, string>,
  ) {
    this.byteLevel =
      mentions(tokenizer.decoder, 'ByteLevel') || mentions(tokenizer.pre_tokenizer, 'ByteLevel');
    const prefix = (tokenizer.model as JsonObject).continuing_subword_prefix;
    this.subwordPrefix = typeof prefix === 'string' && prefix !== '' ? prefix : null;
  }

  /** The bytes that the token stands for inside a text, "▁" read as a space. */
  bytes(id: number, piece: string): Buffer {
    let bytes = this.known.get(id);
    if (!bytes) {
      bytes = this.spell(id, piece);
      this.known.set(id, bytes);
    }
    return bytes;
  }

  private spell(id: number, piece: string): Buffer {
    const literal = this.added.get(id);
    if (literal !== undefined) return Buffer.from(literal, 'utf8');
    if (this.byteLevel) {
      const bytes = [...piece].map((letter) => byteOfLetter.get(letter));
      if (bytes.every((byte) => byte !== undefined)) return Buffer.from(bytes);
    }
    const fallback = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
    if (fallback) return Buffer.from([Number.parseInt(fallback[1]!, 16)]);
    if (this.subwordPrefix && piece.startsWith(this.subwordPrefix)) {
      return Buffer.from(piece.slice(this.subwordPrefix.length), 'utf8');
    }
    return Buffer.from(piece.replaceAll('▁', ' '), 'utf8');
  }

  /**
   * Finds where each token lies: `ends[i]` is the byte offset behind token i, `starts[i]` its first byte. White space
   * that the tokenizer drops belongs to no token, a space that it adds takes no room. Null when tokens and text cannot
   * be matched (a normalizer rewrote the text), where the caller must find another way.
   */
  align(text: Buffer, ids: readonly number[], pieces: readonly string[]): TokenSpans | null {
    const starts = new Int32Array(ids.length);
    const ends = new Int32Array(ids.length);
    let at = 0;
    for (let i = 0; i < ids.length; i++) {
      const bytes = this.bytes(ids[i]!, pieces[i]!);
      const found = place(text, at, bytes);
      if (!found) return null;
      [starts[i], ends[i]] = found;
      at = ends[i]!;
    }
    while (isSpace(text[at])) at++;
    return at === text.length ? { starts, ends } : null;
  }
}

/** Byte offsets of tokens in their text. */
export interface TokenSpans {
  starts: Int32Array;
  ends: Int32Array;
}

function place(text: Buffer, at: number, bytes: Buffer): [number, number] | null {
  if (matches(text, at, bytes, 0)) return [at, at + bytes.length];
  let after = at;
  while (isSpace(text[after])) after++;
  if (after > at && matches(text, after, bytes, 0)) return [after, after + bytes.length];
  if (bytes[0] === space && matches(text, at, bytes, 1)) return [at, at + bytes.length - 1];
  if (bytes[0] === space && after > at && matches(text, after, bytes, 1))
    return [after, after + bytes.length - 1];
  return null;
}

function matches(text: Buffer, at: number, bytes: Buffer, from: number): boolean {
  if (at + bytes.length - from > text.length) return false;
  for (let i = from; i < bytes.length; i++) if (text[at + i - from] !== bytes[i]) return false;
  return true;
}

function mentions(node: unknown, type: string): boolean {
  if (Array.isArray(node)) return node.some((child) => mentions(child, type));
  if (!isObject(node)) return false;
  return node.type === type || mentions(node.pretokenizers, type) || mentions(node.decoders, type);
}
