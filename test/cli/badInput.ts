// What every test of bad input shares: a workspace that a case spoils, the real program run over it in a process of its own,
// and the one check of what it then says and leaves behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { tinyWorkspace } from '../engine/train/tinyRun';

/** One way in which an input can be bad. */
export interface BadInput {
  name: string;
  /** Spoils the workspace and gives the command line. */
  spoil: (at: Workspace) => string[] | Promise<string[]>;
  code: string;
  /** The message: its place, and what was found. */
  says: RegExp;
  remedy?: RegExp;
  /** How many problems are listed. */
  problems?: number;
  /** Run it in human form too. */
  human?: true;
  /** The run had begun: its folder may stay, with the failure as its last event. */
  started?: true;
  /** Reason to leave the case out on this machine. */
  skip?: string | false;
}

export interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

/** Far above what any case takes: only a program that hangs meets it. */
const hangMs = 120_000;

/** Runs the program as a person does. */
export async function workbench(args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [join(process.cwd(), 'dist', 'cli.js'), ...args], {
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '', LORA_WORKBENCH_TRAINER: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that the trainer goes with it where it hangs.
    detached: true,
  });
  const texts = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    texts.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    texts.err += text;
  });
  const watchdog = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), hangMs);
  const [code] = await once(child, 'close');
  clearTimeout(watchdog);
  return { code, ...texts };
}

/** A temporary folder with a tiny model (`base`) and its data, which a case may spoil. */
export class Workspace {
  /** What to undo before the folder is removed. */
  readonly undo: (() => unknown)[] = [];

  constructor(readonly folder: string) {}

  at(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** Writes a file, with the folders that it needs; gives its path. */
  write(name: string, content: string | Uint8Array): string {
    const path = this.at(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  bytes(name: string): Buffer {
    return readFileSync(this.at(name));
  }

  remove(name: string): void {
    rmSync(this.at(name), { recursive: true });
  }

  /** Changes some keys of a JSON file. */
  change(name: string, values: Record<string, unknown>): void {
    this.write(name, JSON.stringify({ ...JSON.parse(this.bytes(name).toString()), ...values }));
  }

  /** Rewrites a safetensors file; the change gets its tensors by name. */
  changeTensors(name: string, change: (tensors: Map<string, StoredTensor>) => void): void {
    const tensors = readTensors(this.bytes(name));
    change(tensors);
    this.write(name, tensorBytes(tensors));
  }

  /** Writes a small recipe and gives the command that trains by it. */
  train(settings: Record<string, unknown> = {}, ...more: string[]): string[] {
    const recipe = {
      model: 'base',
      dataset: 'train.jsonl',
      r: 4,
      max_length: 64,
      max_steps: 2,
      threads: 1,
      ...settings,
    };
    return ['train', this.write('tale.lora.json', JSON.stringify(recipe)), ...more];
  }

  /** Trains by a recipe in YAML below its two required lines. */
  trainYaml(text: string): string[] {
    return ['train', this.write('tale.lora.yaml', `model: base\ndataset: train.jsonl\n${text}`)];
  }
}

export interface StoredTensor {
  dtype: string;
  shape: number[];
  data: Buffer;
}

export function readTensors(file: Buffer): Map<string, StoredTensor> {
  const start = 8 + Number(file.readBigUInt64LE());
  const { __metadata__: _, ...header } = JSON.parse(file.subarray(8, start).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => [name, { dtype, shape, data: Buffer.from(file.subarray(start + begin, start + end)) }],
    ),
  );
}

export function tensorBytes(tensors: ReadonlyMap<string, StoredTensor>): Buffer {
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + data.length] };
    end += data.length;
  }
  const text = JSON.stringify(header);
  // Data begins at a multiple of 8, as the format wants it.
  return safetensors(
    text.padEnd(Math.ceil(text.length / 8) * 8),
    [...tensors.values()].map((t) => t.data),
  );
}

/** A safetensors file with whatever header and length one likes. */
export function safetensors(header: string, data: readonly Uint8Array[] = [], length?: bigint): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(Buffer.byteLength(header)));
  return Buffer.concat([size, Buffer.from(header), ...data]);
}

export const lfsPointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4976698672\n';

/** Declares one test for each case, two processes at a time. `prepare` completes the workspace that all start from. */
export function describeBadInput(
  title: string,
  cases: readonly BadInput[],
  prepare: (at: Workspace) => Promise<void> = async () => {},
): void {
  // Made for the first case that runs; none is made where a filter leaves them all out.
  let template: Promise<{ folder: string; clean: () => void }> | undefined;
  const original = (): NonNullable<typeof template> =>
    (template ??= tinyWorkspace().then(async (made) => {
      await prepare(new Workspace(made.folder));
      return made;
    }));
  describe(title, { concurrency: 2 }, () => {
    after(async () => (await template)?.clean());
    test('each case stands once', () => {
      assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
    });
    for (const bad of cases) {
      test(`refuses ${bad.name}`, { skip: bad.skip ?? false }, async (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
        const at = new Workspace(folder);
        t.after(async () => {
          for (const step of at.undo) await step();
          rmSync(folder, { recursive: true, force: true });
        });
        cpSync((await original()).folder, folder, { recursive: true });
        const args = await bad.spoil(at);
        const before = tree(folder);
        checkReport(await workbench([...args, '--json']), bad);
        assert.deepEqual(remains(folder, before, bad), before, 'nothing is left behind');
        if (!bad.human) return;
        checkHuman(await workbench(args), bad);
        assert.deepEqual(remains(folder, before, bad), before, 'nothing is left behind');
      });
    }
  });
}

/** Exit code 2, one JSON document on standard error, nothing on standard output. */
export function checkReport({ code, out, err }: Outcome, bad: Omit<BadInput, 'name' | 'spoil'>): void {
  assert.equal(code, 2, err || 'ended by a signal');
  assert.equal(out, '');
  const document = JSON.parse(err);
  assert.deepEqual(Object.keys(document), ['error']);
  const { error } = document;
  assert.match(error.message, bad.says);
  assert.equal(error.code, bad.code, error.message);
  assert.match(error.remedy, bad.remedy ?? /./);
  for (const remedy of [error.remedy, ...(error.problems ?? []).map((p: { remedy?: string }) => p.remedy)]) {
    if (remedy !== undefined) assert.match(remedy, /^[A-Z].{8,}[.!]$/s, 'a remedy is a sentence');
  }
  if (bad.problems !== undefined) assert.equal(error.problems?.length, bad.problems, error.message);
  assert.doesNotMatch(
    error.message + error.remedy,
    /undefined|\[object|\n {4}at |report this|broke its own rule/,
  );
}

/** Message and remedy for people, no stack trace. */
function checkHuman({ code, err }: Outcome, bad: BadInput): void {
  assert.equal(code, 2, err);
  assert.match(err, /^Error: /);
  assert.match(err, bad.says);
  assert.match(err, /^(What to do:| +→) [A-Z]/m);
  assert.doesNotMatch(err, /\n +at .*:\d+:\d+|"code"/);
}

/** Every path below a folder with a digest of what it holds. */
export function tree(folder: string, leaveOut: (path: string) => boolean = () => false): string[] {
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((path) => !leaveOut(path))
    .sort()
    .map((path) => {
      const full = join(folder, path);
      const info = lstatSync(full);
      if (info.isSymbolicLink()) return `${path} -> ${readlinkSync(full)}`;
      if (!info.isFile()) return `${path}/`;
      return `${path} ${createHash('sha256').update(readFileSync(full)).digest('hex').slice(0, 16)}`;
    });
}

/** What lies there afterwards, less the folder of a run that began and recorded its failure. */
function remains(folder: string, before: readonly string[], bad: BadInput): string[] {
  if (!bad.started) return tree(folder);
  const runs = (readdirSync(folder, { recursive: true }) as string[])
    .filter((path) => basename(path) === 'events.jsonl')
    .map((path) => dirname(path))
    .filter((path) => lastEvent(join(folder, path)) === 'failed');
  for (const run of runs) {
    const files = readdirSync(join(folder, run), { recursive: true }) as string[];
    assert.ok(!files.some((path) => /\.(new|old)-\d+-\d+$|run\.lock/.test(path)), files.join(', '));
  }
  const ofRun = (path: string): boolean =>
    runs.some((run) => `${path}/`.startsWith(`${run}/`) || run.startsWith(`${path}/`));
  return tree(folder, (path) => ofRun(path) && !before.some((entry) => entry.startsWith(path)));
}

/** The type of a run's last event. */
export function lastEvent(run: string): string | undefined {
  const events = join(run, 'events.jsonl');
  if (!existsSync(events)) return undefined;
  const last = readFileSync(events, 'utf8').trimEnd().split('\n').at(-1);
  return last ? JSON.parse(last).type : undefined;
}
