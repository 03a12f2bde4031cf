// All runs: those that lie on disk, read from their event logs, and the live ones, followed as they grow, whoever started
// them. A run whose process is gone without a last word becomes failed. It starts and stops nothing.
import { open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import { readEventPieces, readEvents } from '../../engine/run/eventLog';
import { isLocked } from '../../engine/run/runLock';
import type { ErrorReport } from '../../protocol/errors';
import type { JobEvent } from '../../protocol/job';
import type { RunEvent } from '../../protocol/run';
import { emptyRecord, foldEvent, isLive, type RunRecord } from './runRecord';

/** New events of one run, in order. */
export interface RunNews {
  run: RunRecord;
  events: readonly RunEvent[];
}

interface Entry {
  record: RunRecord;
  /** Where to read on in events.jsonl. */
  position: number;
}

/** A live log is looked at this often; a stat is all that it costs while nothing comes. */
const followMs = 100;
/** Of a long log that has ended, the head and the tail tell enough for a list. */
const wholeBytes = 1024 * 1024;
const headBytes = 64 * 1024;
const tailBytes = 256 * 1024;

export class RunStore implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<RunRecord | undefined>();
  /** One run, or undefined where the list itself changed. */
  readonly onDidChange = this.#changed.event;
  readonly #news = new vscode.EventEmitter<RunNews>();
  /** Events of live runs as they are written. */
  readonly onDidReceiveEvents = this.#news.event;
  readonly #entries = new Map<string, Entry>();
  /** Jobs that have no run folder (yet), by id. */
  readonly #jobs = new Map<string, RunRecord>();
  readonly #timer: NodeJS.Timeout;
  #busy = false;

  constructor(private readonly log: vscode.LogOutputChannel) {
    this.#timer = setInterval(() => void this.#follow(), followMs);
  }

  /** Newest first; live ones before all others. */
  get all(): RunRecord[] {
    const records = [...this.#jobs.values(), ...[...this.#entries.values()].map(({ record }) => record)];
    const key = (run: RunRecord): string => `${isLive(run.state) ? 1 : 0}${run.startedAt ?? ''}`;
    return records.sort((a, b) => (key(a) < key(b) ? 1 : -1));
  }

  get live(): RunRecord[] {
    return this.all.filter(({ state }) => isLive(state));
  }

  get(id: string): RunRecord | undefined {
    return this.#jobs.get(id) ?? this.#entries.get(id)?.record;
  }

  /** Where the whole log of a run lies, for a panel that reads it; undefined while the run has no folder. */
  logOf(id: string): string | undefined {
    const folder = this.get(id)?.folder;
    return folder === undefined ? undefined : join(folder, 'events.jsonl');
  }

  /** Takes over the list of run folders that a scan found. Known runs keep what is known of them. */
  async setFolders(folders: readonly string[]): Promise<void> {
    const wanted = new Set(folders);
    for (const [id, { record }] of this.#entries)
      if (!wanted.has(id) && !isLive(record.state)) this.#entries.delete(id);
    for (const folder of folders) if (!this.#entries.has(folder)) await this.add(folder);
    this.#changed.fire(undefined);
  }

  /** Adds a run's folder, or reads it again from the start. */
  async add(folder: string, job?: string): Promise<RunRecord> {
    const entry: Entry = { record: emptyRecord(folder, basename(folder), folder, job), position: 0 };
    try {
      for (const event of await this.#firstRead(folder, entry)) entry.record = foldEvent(entry.record, event);
    } catch (cause) {
      this.log.warn(`${folder}: ${(cause as Error).message}`);
    }
    this.#settle(entry);
    this.#entries.set(folder, entry);
    this.#changed.fire(entry.record);
    return entry.record;
  }

  /** Sets or updates a job that has no run folder yet. */
  setJob(record: RunRecord): void {
    this.#jobs.set(record.id, record);
    this.#changed.fire(record);
  }

  /** Forgets a job's own entry: its run has a folder now, or it is done with. */
  removeJob(id: string): void {
    if (this.#jobs.delete(id)) this.#changed.fire(undefined);
  }

  /** Marks what a window knows and the log does not tell: paused, stopping, its job. */
  update(id: string, change: Partial<RunRecord>): void {
    const entry = this.#entries.get(id);
    const job = this.#jobs.get(id);
    if (entry !== undefined) entry.record = { ...entry.record, ...change };
    else if (job !== undefined) this.#jobs.set(id, { ...job, ...change });
    else return;
    this.#changed.fire(this.get(id));
  }

  /** Reads on in one run now. */
  async readOn(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry?.record.folder === undefined) return;
    const path = join(entry.record.folder, 'events.jsonl');
    const size = await stat(path).then(
      (stats) => stats.size,
      () => 0,
    );
    // A log that shrank is another one.
    if (size < entry.position) entry.position = 0;
    if (size > entry.position) {
      for await (const { events, nextByte } of readEventPieces(path, entry.position)) {
        entry.position = nextByte;
        if (events.length === 0) continue;
        for (const event of events) entry.record = foldEvent(entry.record, event);
        this.#news.fire({ run: entry.record, events });
        this.#changed.fire(entry.record);
      }
    } else if (isLive(entry.record.state)) {
      const before = entry.record;
      this.#settle(entry);
      if (entry.record !== before) this.#changed.fire(entry.record);
    }
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#changed.dispose();
    this.#news.dispose();
  }

  async #follow(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (const [id, { record }] of this.#entries) if (isLive(record.state)) await this.readOn(id);
    } catch (cause) {
      this.log.warn((cause as Error).message);
    } finally {
      this.#busy = false;
    }
  }

  async #firstRead(folder: string, entry: Entry): Promise<JobEvent[]> {
    const path = join(folder, 'events.jsonl');
    const size = (await stat(path).catch(() => undefined))?.size ?? 0;
    if (size <= wholeBytes) {
      const { events, nextByte } = readEvents(path);
      entry.position = nextByte;
      return events;
    }
    const head = await readPart(path, 0, headBytes);
    const tail = await readPart(path, size - tailBytes, tailBytes);
    entry.position = size - (tail.length - (tail.lastIndexOf('\n') + 1));
    return [...parseLines(head, false), ...parseLines(tail, true)];
  }

  /** A run without a last word lives only as long as its process. A job's end is told by its job, which knows the cause. */
  #settle(entry: Entry): void {
    const { record } = entry;
    if (!isLive(record.state) || record.folder === undefined || record.job !== undefined) return;
    if (isLocked(join(record.folder, 'run.lock'))) return;
    entry.record = {
      ...record,
      state: 'failed',
      phase: undefined,
      etaSeconds: undefined,
      error: vanished(record),
    };
  }
}

function vanished(run: RunRecord): ErrorReport {
  return {
    code: 'trainer-died',
    message: vscode.l10n.t(
      'The training ended without a last word after step {0}: its process was killed or the machine went down.',
      run.step,
    ),
    remedy: vscode.l10n.t('Resume it from its last checkpoint.'),
    facts: { lastStep: run.step },
  };
}

async function readPart(path: string, position: number, length: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, position);
    return bytes.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}

/** The whole lines of a part; the first is torn where the part begins inside the log. */
function parseLines(text: string, torn: boolean): RunEvent[] {
  const lines = text.split('\n').slice(torn ? 1 : 0, -1);
  return lines.flatMap((line) => {
    try {
      const event = JSON.parse(line) as RunEvent;
      return typeof event.type === 'string' && typeof event.time === 'string' ? [event] : [];
    } catch {
      return [];
    }
  });
}
