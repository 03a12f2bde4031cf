// What the trees show of an adapter, a model, a dataset: read from small files and the head of the weights. A file that is
// broken gives an item with problems, never an exception.
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface AdapterItem {
  kind: 'adapter';
  folder: string;
  /** The weights; undefined where they are missing. */
  file: string | undefined;
  name: string;
  /** As the adapter names it. */
  base: string | undefined;
  /** The base's folder on this machine. */
  baseFolder: string | undefined;
  /** Whether the base there is the one that the adapter was trained on; `unknown` where the adapter does not tell. */
  baseMatch: 'match' | 'mismatch' | 'unknown';
  /** The base's fingerprint as the adapter tells it. */
  fingerprint: string | undefined;
  peftType: string;
  rank: number | undefined;
  bytes: number;
  /** The run that wrote it. */
  run: string | undefined;
  problems: string[];
}

export interface ModelItem {
  kind: 'model';
  folder: string;
  name: string;
  modelType: string | undefined;
  bytes: number;
  problems: string[];
}

export interface DatasetItem {
  kind: 'dataset';
  file: string;
  name: string;
  bytes: number;
  /** Lines with something in them; undefined where the format has no rows by line, or the file is too large to be counted. */
  rows: number | undefined;
  problems: string[];
}

export interface RecipeItem {
  kind: 'recipe';
  file: string;
  name: string;
}

const maximumConfigBytes = 1024 * 1024;
/** The format's own bound; a header beyond it is no header. */
const maximumHeaderBytes = 100_000_000;
/** Enough for the metadata, which stand first in what the common writers write. */
const headBytes = 256 * 1024;

/** Describes an adapter's folder. `runs` are the folders of runs. */
export async function describeAdapter(folder: string, runs: ReadonlySet<string>): Promise<AdapterItem> {
  const problems: string[] = [];
  const config = await readJson(join(folder, 'adapter_config.json'), problems);
  const names = await readdir(folder).catch((): string[] => []);
  const fileName = ['adapter_model.safetensors', 'adapter_model.bin'].find((name) => names.includes(name));
  const file = fileName === undefined ? undefined : join(folder, fileName);
  if (file === undefined) problems.push('adapter_model.safetensors is missing.');
  const head = file?.endsWith('.safetensors') ? await readHead(file, problems) : undefined;
  const run = dirname(folder);
  const text = (key: string): string | undefined =>
    typeof config?.[key] === 'string' && config[key] !== '' ? config[key] : undefined;
  return {
    kind: 'adapter',
    folder,
    file,
    name: runs.has(run) ? basename(run) : basename(folder),
    base: text('base_model_name_or_path'),
    baseFolder: undefined,
    baseMatch: 'unknown',
    fingerprint: text('base_model_fingerprint') ?? head?.fingerprint,
    peftType: methodName(text('peft_type'), config?.use_dora === true),
    rank: typeof config?.r === 'number' ? config.r : undefined,
    bytes: file === undefined ? 0 : await sizeOf(file),
    run: runs.has(run) ? run : undefined,
    problems,
  };
}

/** PEFT's names in capitals → as they are written. */
const methodNames: Readonly<Record<string, string>> = {
  LORA: 'LoRA',
  ADALORA: 'AdaLoRA',
  VERA: 'VeRA',
  LOHA: 'LoHa',
  LOKR: 'LoKr',
  RANDLORA: 'RandLora',
};

function methodName(peftType: string | undefined, dora: boolean): string {
  if (dora) return 'DoRA';
  return peftType === undefined ? 'LoRA' : (methodNames[peftType] ?? peftType);
}

/** Describes a checkpoint's folder. */
export async function describeModel(folder: string): Promise<ModelItem> {
  const problems: string[] = [];
  const config = await readJson(join(folder, 'config.json'), problems);
  const names = await readdir(folder).catch((): string[] => []);
  const shards = names.filter((name) => /\.(safetensors|bin)$/.test(name));
  const sizes = await Promise.all(shards.map((name) => sizeOf(join(folder, name))));
  if (
    !names.includes('tokenizer.json') &&
    !names.includes('vocab.json') &&
    !names.includes('tokenizer.model')
  )
    problems.push('tokenizer.json is missing.');
  const modelType = config?.model_type;
  return {
    kind: 'model',
    folder,
    name: hubName(folder) ?? basename(folder),
    modelType: typeof modelType === 'string' ? modelType : undefined,
    bytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
    problems,
  };
}

export async function describeDataset(file: string): Promise<DatasetItem> {
  const bytes = await sizeOf(file);
  return {
    kind: 'dataset',
    file,
    name: basename(file),
    bytes,
    rows: await countRows(file),
    problems: bytes === 0 ? ['The file is empty.'] : [],
  };
}

/** Larger files are not counted for a list. */
const countedBytes = 64 * 2 ** 20;
/** File → what it was when it was counted, and its rows. */
const counted = new Map<string, { key: string; rows: number }>();

/** Rows of a JSON Lines file, counted once for each state of it. */
export async function countRows(file: string): Promise<number | undefined> {
  if (!/\.jsonl$/i.test(file)) return undefined;
  const stats = await stat(file).catch(() => undefined);
  if (stats === undefined || stats.size > countedBytes) return undefined;
  const key = `${stats.size} ${stats.mtimeMs}`;
  const known = counted.get(file);
  if (known?.key === key) return known.rows;
  let rows = 0;
  let blank = true;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
      let from = 0;
      for (;;) {
        const at = chunk.indexOf(0x0a, from);
        const end = at < 0 ? chunk.length : at;
        for (let i = from; blank && i < end; i++) blank = chunk[i]! <= 0x20;
        if (at < 0) break;
        if (!blank) rows++;
        blank = true;
        from = at + 1;
      }
    }
  } catch {
    return undefined;
  }
  if (!blank) rows++;
  counted.set(file, { key, rows });
  return rows;
}

/** `models--meta--llama/snapshots/<revision>` → `meta/llama`. */
export function hubName(folder: string): string | undefined {
  const match = /models--([^/\\]+)[/\\]snapshots[/\\][^/\\]+$/.exec(folder);
  return match?.[1]?.replaceAll('--', '/');
}

/** Where the base of an adapter lies, by path or by name, among the models found. */
export async function findBase(
  adapter: AdapterItem,
  models: readonly ModelItem[],
): Promise<string | undefined> {
  const { base } = adapter;
  if (base === undefined) return undefined;
  const candidates = [base, join(adapter.folder, base)];
  for (const path of candidates) {
    const real = await realpath(path).catch(() => undefined);
    const known = models.find(({ folder }) => folder === path || folder === real);
    if (known !== undefined) return known.folder;
  }
  const wanted = base.replaceAll('\\', '/').split('/').filter(Boolean);
  const byName = models.filter(
    ({ name }) => name === base || name === wanted.at(-1) || name === wanted.slice(-2).join('/'),
  );
  return byName.length === 1 ? byName[0]!.folder : undefined;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
}

async function readJson(path: string, problems: string[]): Promise<Record<string, unknown> | undefined> {
  const name = basename(path);
  try {
    if ((await stat(path)).size > maximumConfigBytes) throw new Error('it is too large');
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Error('it holds no object');
    return value as Record<string, unknown>;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    problems.push(
      code === 'ENOENT' ? `${name} is missing.` : `${name} cannot be read: ${(cause as Error).message}.`,
    );
    return undefined;
  }
}

/** Looks whether the weights can be what they say they are, without parsing the header of a large file. */
async function readHead(
  file: string,
  problems: string[],
): Promise<{ fingerprint: string | undefined } | undefined> {
  const bad = (message: string): undefined => {
    problems.push(`${basename(file)} is no whole safetensors file: ${message}.`);
  };
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return bad('it cannot be opened');
  try {
    const { size } = await handle.stat();
    const prefix = Buffer.alloc(8);
    if ((await handle.read(prefix, 0, 8, 0)).bytesRead < 8) return bad(`it has ${size} bytes`);
    const length = Number(prefix.readBigUInt64LE());
    if (length > maximumHeaderBytes || 8 + length > size)
      return bad(`its header of ${length} bytes does not fit into ${size}`);
    const head = Buffer.alloc(Math.min(length, headBytes));
    await handle.read(head, 0, head.byteLength, 8);
    const text = head.toString('utf8');
    if (!text.startsWith('{')) return bad('its header is no JSON');
    let lastByte = 0;
    if (length <= headBytes) {
      try {
        for (const value of Object.values(JSON.parse(text) as Record<string, { data_offsets?: number[] }>))
          lastByte = Math.max(lastByte, value.data_offsets?.[1] ?? 0);
      } catch {
        return bad('its header is no JSON');
      }
      if (8 + length + lastByte > size) return bad(`it ends ${8 + length + lastByte - size} bytes early`);
    }
    return { fingerprint: /"base_model_fingerprint":\s*"(sha256:[0-9a-f]{64})"/.exec(text)?.[1] };
  } catch (cause) {
    return bad((cause as Error).message);
  } finally {
    await handle.close();
  }
}
