// A dataset in the thread that reads it: opens the file, encodes the rows asked for at once and all others in the background,
// compares with the other half of the data. A change of settings begins anew what it must. It knows no editor.
import { setImmediate } from 'node:timers/promises';
import { openCheckpoint } from '../../engine/checkpoint/folder';
import {
  type ColumnMapping,
  type DatasetFormat,
  dataDefaults,
  detectFormat,
  detectShape,
  type EncodedSample,
  ExampleEncoder,
  loadTokenizer,
  type RowShape,
  type Sample,
  type TextSplit,
  type Tokenizer,
} from '../../engine/data';
import { readers } from '../../engine/data/readers/open';
import type { SourceRow, TextPiece } from '../../engine/data/readers/row';
import { RowProblem } from '../../engine/data/rowProblem';
import { Windows } from '../../engine/data/truncation';
import { DataError, reportOf, UserError } from '../../engine/errors';
import { modelFromConfig } from '../../engine/models/registry';
import type { ErrorReport } from '../../protocol/errors';
import type { LensProgress, LensRow, LensSettings } from '../../protocol/panels/lens';
import { describeRow } from './lensRows';
import { openSource, type RowSource } from './lensSource';
import { flags, RowStats } from './lensStats';
import { hashOf } from './rowHash';

export interface LensTask {
  file: string;
  columns: ColumnMapping;
  text_split: TextSplit;
  settings: LensSettings;
  /** The other half: evaluation data of a training file, training data of an evaluation file. */
  others: readonly { path: string; columns: ColumnMapping }[];
}

export type ReaderNews =
  | { type: 'progress'; progress: LensProgress }
  | { type: 'stale' }
  | { type: 'failed'; error: ErrorReport };

/** Background work goes on for this long before others have a turn. */
const turnMs = 25;
const tellMs = 250;
const batchRows = 128;
const noModel = 'Choose a model: its tokenizer turns the rows into tokens.';
const roleCodes = new Set(['dataset-unknown-role', 'chat-template-failed', 'chat-template-inconsistent']);
const labels: Record<string, string> = {
  unreadable: 'cannot be used',
  roles: 'wrong roles',
  untrained: 'no trained token',
  end: 'EOS not trained',
  duplicate: 'duplicate',
  leak: 'in training and evaluation data',
  cutAway: 'answer cut away',
  cutAnswer: 'answer cut',
  tooLong: 'too long',
};

interface Tools {
  tokenizer: Tokenizer;
  encoder: ExampleEncoder;
  specialIds: ReadonlySet<number>;
  positions: number;
  /** What decides `encoder`; a change of anything else keeps what was scanned. */
  key: string;
}

export class LensReader {
  #task: LensTask;
  #source: RowSource | undefined;
  #format: DatasetFormat | undefined;
  #shape: RowShape | undefined;
  #tools: Tools | undefined;
  #tokenizers = new Map<string, Promise<Tokenizer>>();
  #stats = new RowStats();
  /** Windows of running text, which exist only as tokens. */
  #windows: EncodedSample[] = [];
  #seen = new Map<number, number>();
  /** Counts the beginnings, so that older background work stops. */
  #turn = 0;
  #scanned = false;
  #compared = false;
  #told = 0;

  constructor(
    task: LensTask,
    private readonly tell: (news: ReaderNews) => void,
  ) {
    this.#task = task;
  }

  /** Opens the file and goes through it; `keepsSource` where the file is known to be the one that is open. */
  async start(keepsSource = false): Promise<void> {
    const turn = ++this.#turn;
    try {
      this.#stats = new RowStats();
      this.#windows = [];
      this.#seen = new Map();
      this.#scanned = false;
      this.#compared = false;
      this.#shape = undefined;
      if (!keepsSource || this.#source === undefined) {
        await this.#source?.close();
        this.#source = undefined;
        this.#format = await detectFormat(this.#task.file);
        const source = openSource(this.#task.file, this.#format, this.#task.text_split);
        this.#source = source;
        await source.grow();
      }
      if (turn !== this.#turn) return;
      // The rows stand before the tokenizer is read.
      this.#progress();
      await this.#openTools();
      if (turn !== this.#turn) return;
      this.tell({ type: 'stale' });
      this.#progress();
      await this.#scan(turn);
    } catch (cause) {
      if (turn === this.#turn) this.tell({ type: 'failed', error: reportOf(cause) });
    }
  }

  async set(task: LensTask): Promise<void> {
    const before = this.#task;
    this.#task = task;
    const sameFile =
      JSON.stringify([before.file, before.columns, before.text_split, before.others]) ===
      JSON.stringify([task.file, task.columns, task.text_split, task.others]);
    const key = keyOf(task.settings, this.#asStream ? task.settings.max_length : 0);
    if (sameFile && this.#tools?.key === key) {
      this.tell({ type: 'stale' });
      this.#progress();
      return;
    }
    // A place in the file is what the index of JSON Lines keeps: rows can be gone through again.
    const sameRows = before.file === task.file && this.#format === 'jsonl' && this.#source?.complete === true;
    await this.start(sameRows);
  }

  async rows(from: number, count: number): Promise<LensRow[]> {
    if (this.#source === undefined) return [];
    if (this.#asStream) {
      return this.#windows
        .slice(from, from + count)
        .map((encoded, i) => this.#describe(from + i, null, encoded, null));
    }
    const source = await this.#source.read(from, count);
    return source.map((row) => this.#show(row));
  }

  problemRow(from: number, back: boolean, id: string | null): number | null {
    return this.#stats.next(from, back, id, this.#task.settings);
  }

  get #asStream(): boolean {
    return this.#format === 'text' && this.#task.text_split === 'window';
  }

  async #openTools(): Promise<void> {
    const { settings } = this.#task;
    const key = keyOf(settings, this.#asStream ? settings.max_length : 0);
    this.#tools = undefined;
    if (settings.model === null)
      throw new DataError({
        code: 'lens-no-model',
        message: 'There is no model to read the rows for.',
        remedy: noModel,
      });
    const { model } = settings;
    let loading = this.#tokenizers.get(model);
    if (loading === undefined) {
      loading = loadTokenizer(model);
      this.#tokenizers.set(model, loading);
      loading.catch(() => this.#tokenizers.delete(model));
    }
    const tokenizer = await loading;
    const known = await openCheckpoint(model)
      .then(({ config }) => modelFromConfig(config))
      .catch(() => undefined);
    const encoder = new ExampleEncoder(tokenizer, {
      train_on: settings.train_on,
      ...(settings.template === null ? {} : { chat_template: settings.template }),
      ...(known === undefined ? {} : { model_vocab_size: known.vocabularySize }),
    });
    const specialIds = new Set(
      tokenizer.specialTexts.flatMap((text) => {
        const id = tokenizer.idOf(text);
        return id === null ? [] : [id];
      }),
    );
    this.#tools = { tokenizer, encoder, specialIds, positions: known?.maxPositions ?? 1 << 20, key };
  }

  /** @throws RowProblem, DataError */
  #sampleOf(row: SourceRow): Sample {
    if (row.problem) throw row.problem;
    this.#shape ??= detectShape(this.#task.file, row.value, this.#task.columns);
    return this.#shape.toSample(row.value);
  }

  #show(row: SourceRow): LensRow {
    try {
      const sample = this.#sampleOf(row);
      if (this.#tools === undefined) return this.#plain(row);
      return this.#describe(row.row - 1, row.line, this.#tools.encoder.encode(sample), sample);
    } catch (cause) {
      const { message, remedy } = problemOf(cause);
      return { ...this.#plain(row), problems: [labels.unreadable!], error: { message, remedy } };
    }
  }

  #plain(row: SourceRow): LensRow {
    const text = row.value === undefined ? '' : JSON.stringify(row.value, null, 1).slice(0, 4000);
    return {
      index: row.row - 1,
      line: row.line,
      tokens: 0,
      trained: 0,
      masked: 0,
      cut: 0,
      end: 'none',
      segments:
        text === '' ? [] : [{ who: 'text', ids: [-1], texts: [text], kinds: [0], ends: [], special: [] }],
      hidden: 0,
      problems: [],
      error: null,
    };
  }

  #describe(index: number, line: number | null, encoded: EncodedSample, sample: Sample | null): LensRow {
    const { tokenizer, specialIds } = this.#tools!;
    const { settings } = this.#task;
    const prefix = this.#prefixOf(encoded);
    const row = describeRow({ index, line, encoded, sample, prefix }, tokenizer, specialIds, settings);
    const problems = this.#stats.problemsOf(index, settings).map((id) => labels[id] ?? id);
    return { ...row, problems, error: null };
  }

  #prefixOf({ ids }: EncodedSample): number {
    const { encoder, tokenizer } = this.#tools!;
    const { prefix } = encoder;
    return Math.max(
      ids[0] === tokenizer.bosId ? 1 : 0,
      prefix.every((id, i) => ids[i] === id) ? prefix.length : 0,
    );
  }

  async #scan(turn: number): Promise<void> {
    const source = this.#source!;
    let next = 0;
    let since = performance.now();
    const breathe = async (): Promise<boolean> => {
      if (performance.now() - since < turnMs) return true;
      if (performance.now() - this.#told > tellMs) this.#progress();
      await setImmediate();
      since = performance.now();
      return turn === this.#turn;
    };
    const windows = this.#asStream ? this.#newWindows() : undefined;
    for (;;) {
      if (next >= source.count) {
        if (source.complete) break;
        await source.grow();
        continue;
      }
      const rows = await source.read(next, batchRows);
      for (const row of rows) {
        next++;
        if (windows === undefined) this.#note(row);
        else this.#window(windows, row);
        if (!(await breathe())) return;
      }
    }
    this.#scanned = true;
    this.#progress();
    await this.#compare(turn, breathe);
  }

  #newWindows(): Windows {
    const { encoder, tokenizer } = this.#tools!;
    return new Windows(this.#task.settings.max_length, encoder.prefix, tokenizer.eosId);
  }

  #window(windows: Windows, { value, problem, line }: SourceRow): void {
    if (problem) {
      this.#stats.addError(line, flags.unreadable, problemOf(problem));
      return;
    }
    const { text, last } = value as TextPiece;
    for (const sample of windows.push(this.#tools!.encoder.encodePiece(text), last)) {
      const empty = this.#windows.length === 0;
      this.#windows.push(sample);
      this.#stats.addEncoded(null, sample, this.#tools!.encoder.prefix.length, 0);
      if (empty) this.tell({ type: 'stale' });
    }
  }

  /** Encodes one row and keeps its numbers. */
  #note(row: SourceRow): void {
    try {
      const sample = this.#sampleOf(row);
      const encoded = this.#tools!.encoder.encode(sample);
      const hash = hashOf(sample);
      let bits = this.#seen.has(hash) ? flags.duplicate : 0;
      if (bits === 0) this.#seen.set(hash, row.row - 1);
      const last = encoded.trained.lastIndexOf(1);
      const { eosIds } = this.#tools!.tokenizer;
      if (last >= 0 && !eosIds.includes(encoded.ids[last]!)) bits |= flags.end;
      this.#stats.addEncoded(row.line, encoded, this.#prefixOf(encoded), bits);
    } catch (cause) {
      const problem = problemOf(cause);
      const bits = roleCodes.has(problem.code) ? flags.roles : flags.unreadable;
      this.#stats.addError(row.line, bits, problem);
    }
  }

  /** Looks for rows of the other half of the data. */
  async #compare(turn: number, breathe: () => Promise<boolean>): Promise<void> {
    for (const { path, columns } of this.#task.others) {
      try {
        const format = await detectFormat(path);
        if (format === 'text') continue;
        const options = { maxRowBytes: dataDefaults.max_row_bytes, textSplit: this.#task.text_split };
        let shape: RowShape | undefined;
        for await (const { value, problem } of readers[format](path, options)) {
          if (!(await breathe())) return;
          if (problem) continue;
          shape ??= detectShape(path, value, columns);
          const row = this.#rowLike(shape, value);
          if (row !== undefined) this.#stats.mark(row, flags.leak);
        }
        this.#compared = true;
      } catch (cause) {
        // The other file's own lens tells what is wrong with it.
        if (!(cause instanceof UserError)) throw cause;
      }
    }
    if (turn === this.#turn && this.#task.others.length > 0) this.#progress();
  }

  #rowLike(shape: RowShape, value: unknown): number | undefined {
    try {
      return this.#seen.get(hashOf(shape.toSample(value)));
    } catch {
      return undefined;
    }
  }

  #progress(): void {
    const source = this.#source!;
    this.#told = performance.now();
    const stats = this.#stats;
    const { settings } = this.#task;
    const summary = stats.summary(settings, this.#tools?.positions ?? 1 << 20);
    const has = (id: string): boolean => summary.problems.some((problem) => problem.id === id);
    const fine: string[] = [];
    if (this.#scanned && stats.count > 0) {
      if (!has('untrained') && !has('cutAway') && !has('unreadable'))
        fine.push('Every row has a trained token.');
      if (!has('duplicate')) fine.push('No duplicates.');
      if (this.#compared && !has('leak')) fine.push('No row is in both training and evaluation data.');
    }
    const progress: LensProgress = {
      ...summary,
      rows: this.#asStream ? this.#windows.length : source.count,
      complete: this.#asStream ? this.#scanned : source.complete,
      done: this.#scanned,
      shape: this.#asStream ? 'text' : (this.#shape?.shape ?? ''),
      notes: [...(this.#tools?.encoder.notes ?? [])],
      fine,
    };
    this.tell({ type: 'progress', progress });
  }
}

function keyOf({ model, template, train_on }: LensSettings, window: number): string {
  return JSON.stringify([model, template, train_on, window]);
}

function problemOf(cause: unknown): { message: string; remedy: string; code: string } {
  if (cause instanceof RowProblem || cause instanceof UserError)
    return { message: cause.message, remedy: cause.remedy, code: cause.code };
  throw cause;
}
