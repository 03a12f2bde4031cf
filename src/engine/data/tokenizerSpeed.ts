// In: tokenizer.json and the library's Tokenizer made of it. Out: the same tokenizer, quicker, with the same ids. Measured: a factor of 3 to 10 on short rows.

import type { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { BPE, ByteLevelPreTokenizer, SequencePreTokenizer } from '@huggingface/tokenizers';
import type { JsonObject } from './tokenizerFiles';

const cacheEntries = 100_000;
const longestRemembered = 64;

/** A bounded map that is emptied when full: the library's exact LRU order costs more than the merges it saves. */
class BoundedCache<V> {
  private readonly map = new Map<string, V>();
  get(key: string): V | undefined {
    return this.map.get(key);
  }
  put(key: string, value: V): void {
    if (this.map.size >= cacheEntries) this.map.clear();
    this.map.set(key, value);
  }
  clear(): void {
    this.map.clear();
  }
}

/**
 * SentencePiece-style BPE has no pre-tokenizer, so the library merges whole texts without its cache. Where no
 * vocabulary entry has "▁" after another character, no merge crosses such a place, and cutting there is exact.
 */
export function withWordCuts(tokenizer: JsonObject & { model: JsonObject }): JsonObject {
  const { model } = tokenizer;
  if (tokenizer.pre_tokenizer || model.type !== 'BPE' || model.ignore_merges) return tokenizer;
  const pieces = Object.keys(model.vocab as JsonObject);
  if (pieces.some((piece) => /[^▁]▁/u.test(piece))) return tokenizer;
  const cut = { type: 'Split', pattern: { Regex: '▁*[^▁]+|▁+' }, behavior: 'Isolated', invert: false };
  return { ...tokenizer, pre_tokenizer: cut };
}

/** Remembers the tokens of each word, where the library remembers its merges, and the byte-level spelling of words. */
export function quicken(tokenizer: LibraryTokenizer): void {
  if (tokenizer.model instanceof BPE) rememberWords(tokenizer.model);
  visitPreTokenizers(tokenizer.pre_tokenizer);
}

function rememberWords(model: BPE): void {
  const encode = model.encode.bind(model);
  const words = new BoundedCache<string[]>();
  model.encode = (pieces) => {
    const tokens: string[] = [];
    for (const piece of pieces) {
      let known = words.get(piece);
      if (known === undefined) {
        known = encode([piece]);
        if (piece.length <= longestRemembered) words.put(piece, known);
      }
      for (const token of known) tokens.push(token);
    }
    return tokens;
  };
}

function visitPreTokenizers(node: unknown): void {
  if (node instanceof SequencePreTokenizer) {
    for (const child of (node as unknown as { tokenizers?: unknown[] }).tokenizers ?? [])
      visitPreTokenizers(child);
  }
  if (node instanceof ByteLevelPreTokenizer) rememberSpellings(node as unknown as ByteLevelNode);
}

interface ByteLevelNode {
  add_prefix_space: boolean;
  use_regex: boolean;
  pattern: RegExp;
  byte_encoder: Record<number, string>;
  pre_tokenize_text(text: string, options?: unknown): string[];
}

function rememberSpellings(node: ByteLevelNode): void {
  const { byte_encoder: encoder, pattern } = node;
  if (!encoder || !(pattern instanceof RegExp)) return;
  const spellings = new BoundedCache<string>();
  const spell = (word: string): string => {
    const known = spellings.get(word);
    if (known !== undefined) return known;
    let spelled = '';
    for (const byte of Buffer.from(word, 'utf8')) spelled += encoder[byte];
    if (word.length <= longestRemembered) spellings.put(word, spelled);
    return spelled;
  };
  node.pre_tokenize_text = (text) => {
    const whole = node.add_prefix_space && !text.startsWith(' ') ? ` ${text}` : text;
    return (node.use_regex ? (whole.match(pattern) ?? []) : [whole]).map(spell);
  };
}
