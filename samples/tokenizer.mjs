// Texts come in, a byte-level BPE tokenizer in Hugging Face's tokenizer.json form goes out.
// Ids: 0..3 special tokens, 4..259 the bytes, then the merges in the order in which they were learned.

export const specialTokens = ['<|endoftext|>', '<|user|>', '<|assistant|>', '<|end|>'];
export const vocabularySize = 1024;

/** The pre-tokenizer's pattern of GPT-2, which `ByteLevel` with `use_regex` applies as well. */
const wordPattern = /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** GPT-2's printable stand-in for each byte: printable bytes stand for themselves, the others for U+0100 upwards. */
export function byteAlphabet() {
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

function countWordsOf(texts) {
  const alphabet = byteAlphabet();
  const counts = new Map();
  for (const text of texts) {
    for (const [word] of text.matchAll(wordPattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => ({
    symbols: [...Buffer.from(word)].map((byte) => alphabet[byte]),
    count,
  }));
}

/** How often each neighbouring pair occurs and in which words; the key is `left right`, since no symbol holds a space. */
class PairTable {
  counts = new Map();
  #places = new Map();

  /** Adds (sign 1) or takes away (sign -1) the pairs of one word. */
  count(word, sign) {
    const { symbols, count } = word;
    for (let i = 1; i < symbols.length; i++) {
      const pair = `${symbols[i - 1]} ${symbols[i]}`;
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + sign * count);
      if (!this.#places.has(pair)) this.#places.set(pair, new Set());
      this.#places.get(pair).add(word);
    }
  }

  /** The most frequent pair, the lexically smaller one on a tie. */
  best() {
    let best;
    let most = 0;
    for (const [pair, times] of this.counts) {
      if (times > most || (times === most && pair < best)) [best, most] = [pair, times];
    }
    return { best, most };
  }

  /** Takes a pair out of the table; returns the words that have or had it. */
  take(pair) {
    const words = this.#places.get(pair);
    this.#places.delete(pair);
    return words;
  }
}

function mergePair(word, left, right) {
  const { symbols } = word;
  const merged = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) merged.push(symbols[i++] + right);
    else merged.push(symbols[i]);
  }
  word.symbols = merged;
}

/** Learns merges, the most frequent pair first. */
export function learnMerges(texts, count) {
  const pairs = new PairTable();
  for (const word of countWordsOf(texts)) pairs.count(word, 1);
  const merges = [];
  while (merges.length < count) {
    const { best, most } = pairs.best();
    if (most < 2) throw new Error(`The corpus yields only ${merges.length} merges; ${count} are needed.`);
    const [left, right] = best.split(' ');
    for (const word of pairs.take(best)) {
      pairs.count(word, -1);
      mergePair(word, left, right);
      pairs.count(word, 1);
    }
    pairs.counts.delete(best);
    merges.push([left, right]);
  }
  return merges;
}

/** The content of tokenizer.json, from texts without special tokens. */
export function trainTokenizer(texts) {
  const merges = learnMerges(texts, vocabularySize - specialTokens.length - 256);
  const symbols = [...specialTokens, ...byteAlphabet(), ...merges.map((pair) => pair.join(''))];
  const vocab = Object.fromEntries(symbols.map((symbol, id) => [symbol, id]));
  if (Object.keys(vocab).length !== symbols.length) throw new Error('Two merges make the same token.');
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}

const chatTemplate =
  "{% for message in messages %}{{ '<|' + ('assistant' if message['role'] == 'assistant' else 'user') + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}";

/** The content of tokenizer_config.json. A system message is told as the user's: the base knows two roles. */
export function tokenizerConfig() {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: 512,
    add_bos_token: false,
    add_prefix_space: false,
    bos_token: specialTokens[0],
    eos_token: specialTokens[0],
    pad_token: specialTokens[0],
    clean_up_tokenization_spaces: false,
    chat_template: chatTemplate,
  };
}
