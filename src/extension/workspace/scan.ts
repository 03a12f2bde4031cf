// Folders → what of ours lies in them, by file names alone: adapters, models, datasets, recipes, runs. Bounded, asynchronous,
// and deaf to errors of single folders; it reads no file's content.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** What a scan found; all paths are absolute. */
export interface Found {
  /** Folders with adapter_config.json or an adapter's weights. */
  adapters: string[];
  /** Folders with config.json and weights. */
  models: string[];
  datasets: string[];
  recipes: string[];
  /** Folders of runs. */
  runs: string[];
  /** Entries looked at. */
  entries: number;
  /** Whether the bound was reached before the end. */
  cut: boolean;
}

export interface ScanOptions {
  /** Names of folders that are left out. */
  exclude: readonly string[];
  maximumEntries: number;
  /** Tells that the result is no longer wanted. */
  signal?: AbortSignal;
}

const maximumDepth = 12;
const concurrency = 16;
const alwaysExcluded = new Set([
  'node_modules',
  '.git',
  '.hg',
  '.svn',
  '.vscode-test',
  '__pycache__',
  '.venv',
  'venv',
  '.mypy_cache',
  '.pytest_cache',
  '.tox',
]);
const dataset = /\.(jsonl|parquet)$/i;
const recipe = /\.lora\.(ya?ml|json)$/i;
const weights = /^(model.*\.safetensors|model\.safetensors\.index\.json|pytorch_model.*\.bin)$/;

/** Looks through folders, breadth first, so that what lies near the top is found even where the bound is reached. */
export async function scan(roots: readonly string[], options: ScanOptions): Promise<Found> {
  const found: Found = {
    adapters: [],
    models: [],
    datasets: [],
    recipes: [],
    runs: [],
    entries: 0,
    cut: false,
  };
  const excluded = new Set([...alwaysExcluded, ...options.exclude]);
  const seen = new Set<string>();
  let level = [...new Set(roots)];
  for (let depth = 0; level.length > 0 && depth <= maximumDepth && !found.cut; depth++) {
    const next: string[] = [];
    const queue = level.values();
    const work = async (): Promise<void> => {
      for (const folder of queue) {
        if (options.signal?.aborted) return;
        if (found.entries >= options.maximumEntries) {
          found.cut = true;
          return;
        }
        if (seen.has(folder)) continue;
        seen.add(folder);
        const inner = await look(folder, found);
        for (const name of inner) if (!excluded.has(name)) next.push(join(folder, name));
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    level = next;
  }
  for (const list of [found.adapters, found.models, found.datasets, found.recipes, found.runs]) list.sort();
  return found;
}

/** Sorts out one folder; returns the names of the folders in it that are worth a look. */
async function look(folder: string, found: Found): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  found.entries += entries.length;
  const files = new Set<string>();
  const folders: string[] = [];
  for (const entry of entries) {
    // Links to folders are not followed: they may lead out of the folder, or in circles. The hub's cache links files.
    if (entry.isDirectory()) folders.push(entry.name);
    else if (entry.isFile() || entry.isSymbolicLink()) files.add(entry.name);
  }
  const isRun = files.has('events.jsonl') && (files.has('recipe.yaml') || folders.includes('checkpoints'));
  const isAdapter =
    files.has('adapter_config.json') ||
    files.has('adapter_model.safetensors') ||
    files.has('adapter_model.bin');
  if (isAdapter) found.adapters.push(folder);
  else if (files.has('config.json') && [...files].some((name) => weights.test(name)))
    found.models.push(folder);
  if (isRun) found.runs.push(folder);
  for (const name of files) {
    if (recipe.test(name)) found.recipes.push(join(folder, name));
    else if (!isRun && dataset.test(name)) found.datasets.push(join(folder, name));
  }
  // A run's checkpoints hold adapters too; they are listed with the run.
  return isRun ? folders.filter((name) => name !== 'checkpoints') : folders;
}
