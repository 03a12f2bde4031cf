// What methods of task sequences share: the setting that names the adapters of earlier tasks, and their pairs side by side.
import type { SettingField } from '../../protocol/settings';
import { invariant } from '../errors';
import type { AdapterSettings } from './settings';
import type { EarlierPair, Site } from './variant';

export const previousAdapters: SettingField = {
  key: 'previous_adapters',
  type: 'list',
  items: { type: 'path' },
  default: [],
  group: 'adapter',
  description:
    'Folders of the adapters of earlier tasks, the first task first; empty for the first task. They act and stay as they are. Any adapter with a LoRA form will do, PEFT’s too; one that holds several tasks counts for all of them.',
};

/** The folders that the setting names. */
export function previousFolders(settings: AdapterSettings): readonly string[] {
  const given = settings.settings[previousAdapters.key];
  return Array.isArray(given) ? given.map(String) : [];
}

/** Earlier pairs of a module that are there, with the place of each one's first rank. */
export function presentPairs(site: Site): { task: number; offset: number; pair: EarlierPair }[] {
  let offset = 0;
  return (site.earlier ?? []).flatMap((pair, task) => {
    const own = { task, offset, pair };
    offset += pair.rank;
    return pair.rank > 0 ? [own] : [];
  });
}

/** Values of a pair of a plan that was made from folders. */
export function valuesOf(pair: EarlierPair): NonNullable<EarlierPair['values']> {
  invariant(pair.values, 'a plan that starts from earlier adapters has their values');
  return pair.values;
}

/** Matrices [out, rank_i] side by side: [out, Σ rank_i]. */
export function beside(rows: number, parts: readonly { rank: number; data: Float32Array }[]): Float32Array {
  const width = parts.reduce((sum, { rank }) => sum + rank, 0);
  const out = new Float32Array(rows * width);
  let at = 0;
  for (const { rank, data } of parts) {
    for (let i = 0; i < rows; i++) out.set(data.subarray(i * rank, (i + 1) * rank), i * width + at);
    at += rank;
  }
  return out;
}

/** Columns [start, start + rank) of [rows, width]. */
export function columns(
  data: Float32Array,
  rows: number,
  width: number,
  start: number,
  rank: number,
): Float32Array {
  const out = new Float32Array(rows * rank);
  for (let i = 0; i < rows; i++)
    out.set(data.subarray(i * width + start, i * width + start + rank), i * rank);
  return out;
}
