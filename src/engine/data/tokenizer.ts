// In: a Hugging Face folder. Out: text to ids and back exactly as its tokenizer.json says, special ids, and its chat template's source. Knows nothing of datasets.

import { join } from 'node:path';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { DataError } from '../errors';
import { templateSource } from './chatTemplate';
import { TextStream } from './textStream';
import type { TokenSpans } from './tokenBytes';
import { TokenSpelling } from './tokenBytes';
import type { JsonObject, TokenizerFiles } from './tokenizerFiles';
import { brokenTokenizer, isObject, readTokenizerFiles } from './tokenizerFiles';
import { quicken, withWordCuts } from './tokenizerSpeed';

/** These classes rebuild their post-processor from add_bos_token and add_eos_token; the others ignore the two keys. */
const classesWithSwitches = /^(Llama|CodeLlama|Gemma|Cohere)/;

/** Reads the tokenizer of a model folder; a missing or broken file is a DataError with its name and a remedy. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return new Tokenizer(await readTokenizerFiles(folder));
}

export class Tokenizer {
  readonly folder: string;
  /** Largest token id plus one. */
  readonly vocabSize: number;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  readonly bosId: number | null;
  /** The id that ends a training text; null where the tokenizer has none. */
  readonly eosId: number | null;
  /** Every id that ends a generation: of the tokenizer, config.json and generation_config.json. */
  readonly eosIds: readonly number[];
  /** The id that fills up a batch; never trained, never attended. */
  readonly padId: number;
  /** Source of the chat template, or null. */
  readonly chatTemplate: string | null;
  /** Names and texts of the special tokens, as templates may use them (bos_token, …). */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** Literal texts of added tokens that are marked special, longest first. */
  readonly specialTexts: readonly string[];
  private readonly library: LibraryTokenizer;
  private readonly spelling: TokenSpelling;
  private readonly idOfPiece: ReadonlyMap<string, number>;
  private readonly addBos: boolean | null;
  private readonly addEos: boolean | null;
  private readonly cleanUp: boolean;

  constructor(files: TokenizerFiles) {
    const file = join(files.folder, 'tokenizer.json');
    this.folder = files.folder;
    this.specialTokens = namedTokens(files);
    // The library wants plain strings where tokenizer_config.json has {content: …} objects.
    const config = { ...files.config, ...this.specialTokens };
    try {
      this.library = new LibraryTokenizer(withWordCuts(files.tokenizer), config);
    } catch (error) {
      throw brokenTokenizer(file, `the tokenizer cannot be built (${(error as Error).message}).`, error);
    }
    quicken(this.library);
    this.idOfPiece = pieceIds(files, this.library);
    const added = new Map(files.tokenizer.added_tokens.map((token) => [token.id, token.content]));
    this.spelling = new TokenSpelling(files.tokenizer, added);
    this.vocabSize = highestId(files) + 1;
    if (this.vocabSize === 0) throw brokenTokenizer(file, 'its vocabulary is empty.');

    this.bosToken = this.specialTokens.bos_token ?? null;
    this.eosToken = this.specialTokens.eos_token ?? this.tokenText(firstId(files.modelConfig.eos_token_id));
    this.bosId = this.idOf(this.bosToken);
    this.eosId = this.idOf(this.eosToken);
    const ids = [
      this.eosId,
      ...idList(files.generationConfig.eos_token_id),
      ...idList(files.modelConfig.eos_token_id),
    ];
    this.eosIds = [...new Set(ids.filter((id): id is number => id !== null))];
    this.padId =
      this.idOf(this.specialTokens.pad_token ?? null) ??
      firstId(files.generationConfig.pad_token_id) ??
      firstId(files.modelConfig.pad_token_id) ??
      this.eosIds[0] ??
      0;
    this.chatTemplate = templateSource(files);
    this.specialTexts = files.tokenizer.added_tokens
      .filter((token) => token.special)
      .map((token) => token.content)
      .sort((a, b) => b.length - a.length);
    const switches = classesWithSwitches.test(String(files.config.tokenizer_class ?? ''));
    this.addBos =
      switches && typeof files.config.add_bos_token === 'boolean' ? files.config.add_bos_token : null;
    this.addEos =
      switches && typeof files.config.add_eos_token === 'boolean' ? files.config.add_eos_token : null;
    this.cleanUp = files.config.clean_up_tokenization_spaces === true;
  }

  /** Ids of a text. `specialTokens` (default true) adds BOS and EOS where the tokenizer wants them, each once. */
  encode(text: string, options: { specialTokens?: boolean } = {}): number[] {
    const specialTokens = options.specialTokens ?? true;
    const { ids } = this.tokens(text, specialTokens);
    return specialTokens ? this.withSwitches(ids) : ids;
  }

  /**
   * Ids of a text without added special tokens, and the byte span of each in the text's UTF-8. `spans` is null where
   * the tokenizer rewrites texts so that tokens cannot be found in them again.
   */
  encodeWithSpans(text: string): { ids: number[]; spans: TokenSpans | null } {
    const { ids, tokens } = this.tokens(text, false);
    return { ids, spans: this.spelling.align(Buffer.from(text, 'utf8'), ids, tokens) };
  }

  /** Whether `encode` puts BOS first. */
  get startsWithBos(): boolean {
    return this.bosId !== null && this.encode('a')[0] === this.bosId;
  }

  /** Text of ids; special tokens are left out unless asked for. Unknown ids are a DataError. */
  decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    const list = [...ids];
    if (list.length === 0) return '';
    const unknown = list.find((id) => this.library.id_to_token(id) === undefined);
    // Models pad their vocabulary; an id above the tokenizer's has no text.
    const known =
      unknown === undefined ? list : list.filter((id) => this.library.id_to_token(id) !== undefined);
    if (known.length === 0) return '';
    return this.library.decode(known, {
      skip_special_tokens: options.skipSpecialTokens ?? true,
      clean_up_tokenization_spaces: this.cleanUp,
    });
  }

  /** A decoder for generation: text piece by piece, no broken characters. */
  stream(options: { skipSpecialTokens?: boolean } = {}): TextStream {
    return new TextStream((ids) => this.decode(ids, options));
  }

  /** The vocabulary's own spelling of an id ("Ġthe", "▁the", "</s>"), or null. */
  tokenText(id: number | null): string | null {
    return id === null ? null : (this.library.id_to_token(id) ?? null);
  }

  idOf(token: string | null): number | null {
    return token === null ? null : (this.library.token_to_id(token) ?? null);
  }

  private withSwitches(ids: number[]): number[] {
    const { bosId, eosId } = this;
    let result = ids;
    if (bosId !== null && this.addBos === true && result[0] !== bosId) result = [bosId, ...result];
    if (bosId !== null && this.addBos === false && result[0] === bosId) result = result.slice(1);
    if (eosId !== null && this.addEos === true && result.at(-1) !== eosId) result = [...result, eosId];
    if (eosId !== null && this.addEos === false && result.at(-1) === eosId) result = result.slice(0, -1);
    return result;
  }

  /** The library's encode, with one look-up per token; tokens that it finds in other ways are left to it. */
  private tokens(text: string, specialTokens: boolean): { ids: number[]; tokens: string[] } {
    const tokens = this.library.tokenize(text, { add_special_tokens: specialTokens });
    const ids = new Array<number>(tokens.length);
    for (let i = 0; i < tokens.length; i++) {
      const id = this.idOfPiece.get(tokens[i]!);
      if (id === undefined) return this.tokensBySearch(text, specialTokens);
      ids[i] = id;
    }
    return { ids, tokens };
  }

  private tokensBySearch(text: string, specialTokens: boolean): { ids: number[]; tokens: string[] } {
    const found = this.library.encode(text, { add_special_tokens: specialTokens });
    if (found.ids.every((id: number | undefined) => id !== undefined)) return found;
    throw new DataError({
      code: 'tokenizer-no-token',
      message: `The tokenizer in ${this.folder} has no token, and no unknown token, for a part of ${JSON.stringify(text.slice(0, 60))}.`,
      remedy: 'Use the tokenizer that belongs to the model, or remove the characters that it cannot write.',
    });
  }
}

/** The special tokens by name: tokenizer_config.json first, then special_tokens_map.json. */
function namedTokens(files: TokenizerFiles): Record<string, string> {
  const named: Record<string, string> = {};
  for (const source of [files.specialTokens, files.config]) {
    for (const [name, value] of Object.entries(source)) {
      const text = isObject(value) ? value.content : value;
      if (name.endsWith('_token') && !name.startsWith('add_') && typeof text === 'string') named[name] = text;
    }
  }
  return named;
}

function highestId(files: TokenizerFiles): number {
  const vocab = files.tokenizer.model.vocab as JsonObject | unknown[];
  let highest = Array.isArray(vocab) ? vocab.length - 1 : -1;
  if (!Array.isArray(vocab)) for (const id of Object.values(vocab)) highest = Math.max(highest, id as number);
  for (const token of files.tokenizer.added_tokens) highest = Math.max(highest, token.id);
  return highest;
}

function idList(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id) => Number.isInteger(id) && id >= 0);
}

function firstId(value: unknown): number | null {
  return idList(value)[0] ?? null;
}

/** Ids of all pieces; the literal text of an added token wins over an entry of the vocabulary, as in the library. */
function pieceIds(files: TokenizerFiles, library: LibraryTokenizer): Map<string, number> {
  const ids = library.get_vocab();
  for (const token of files.tokenizer.added_tokens) ids.set(token.content, token.id);
  return ids;
}
