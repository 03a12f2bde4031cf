// LLaMA-Factory's registry of datasets: names in `dataset: a,b` → files with their columns, from dataset_info.json.
import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Problem } from '../../../protocol/errors';
import type { SettingValue } from '../../../protocol/settings';
import { isMapping } from '../shapes';
import { asList } from './translation';

const maximumBytes = 4 * 1024 * 1024;

/** Resolves dataset names. Where there is no registry, a name is the file `<dataset_dir>/<name>.json`. */
export function resolveDatasetNames(
  names: unknown,
  folder: string,
  datasetDir: unknown,
  report: (problem: Omit<Problem, 'where'>) => void,
): SettingValue[] {
  const directory = typeof datasetDir === 'string' ? datasetDir : 'data';
  const registry = readRegistry(
    join(isAbsolute(directory) ? directory : join(folder, directory), 'dataset_info.json'),
    report,
  );
  return asList(names).map((name): SettingValue => {
    const entry = registry !== undefined && Object.hasOwn(registry, name) ? registry[name] : undefined;
    if (entry === undefined && registry !== undefined && !/\.\w+$/.test(name)) {
      report({
        message: `the dataset ${name} is not in ${join(directory, 'dataset_info.json')}.`,
        remedy: `Choose from ${Object.keys(registry).slice(0, 20).join(', ')}, or give the path of a file.`,
      });
    }
    if (!isMapping(entry)) return /\.\w+$/.test(name) ? name : join(directory, `${name}.json`);
    if (typeof entry.file_name !== 'string') {
      report({
        message: `the dataset ${name} lies on a hub, not on this machine.`,
        remedy: 'Download it and give the path of its file.',
      });
      return name;
    }
    const columns: Record<string, string> = {};
    const { prompt, query, response, messages, system } = isMapping(entry.columns)
      ? entry.columns
      : ({} as Record<string, unknown>);
    const ours: [string, unknown][] = [
      ['instruction', prompt],
      ['input', query],
      ['output', response],
      [entry.formatting === 'sharegpt' ? 'conversations' : 'messages', messages],
      ['system', system],
    ];
    for (const [key, column] of ours) if (typeof column === 'string') columns[key] = column;
    return {
      path: join(directory, entry.file_name),
      columns,
    };
  });
}

function readRegistry(
  path: string,
  report: (problem: Omit<Problem, 'where'>) => void,
): Record<string, unknown> | undefined {
  try {
    if (statSync(path).size > maximumBytes) throw new Error(`it is larger than ${maximumBytes} bytes`);
    const registry: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (!isMapping(registry)) throw new Error('it is no mapping');
    return registry;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    report({
      message: `${path} cannot be read: ${(cause as Error).message}.`,
      remedy: 'Correct the file, or give paths of datasets.',
    });
    return undefined;
  }
}
