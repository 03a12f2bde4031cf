// diff: what sets adapters apart.
import { resolve } from 'node:path';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal, table } from '../terminal';
import { TrainProgress } from '../trainProgress';

/** More are counted, not listed; --json has them all. */
const listedModules = 40;

export async function diff(adapters: readonly string[], terminal: Terminal): Promise<number> {
  const progress = new TrainProgress(terminal);
  const result = await callTrainer('diff', { adapters: adapters.map((path) => resolve(path)) }, terminal, {
    onInterrupt: 'kill',
    onEvent: (event) => progress.show(event),
  });
  terminal.document(result);
  result.adapters.forEach(({ folder, modules }, i) => {
    terminal.line(`${i + 1}  ${printable(folder)}, ${modules} modules`);
  });
  terminal.line(result.settings.length === 0 ? 'The settings are the same.' : 'Settings that differ:');
  const settings = result.settings.map(({ key, values }) => [
    printable(key),
    ...values.map((value) => printable(value.length > 60 ? `${value.slice(0, 59)}…` : value || '–')),
  ]);
  for (const line of table(settings)) terminal.line(line);
  const number = (value: number | null): string => (value === null ? '–' : value.toPrecision(3));
  const head = [
    'Module',
    ...result.adapters.map((_, i) => `‖ΔW‖ ${i + 1}`),
    ...(result.modules[0]?.pairs ?? []).flatMap(({ first, second }) =>
      ['cos', 'φ(A)', 'φ(B)'].map((name) => `${name} ${first + 1},${second + 1}`),
    ),
  ];
  const rows = result.modules
    .slice(0, listedModules)
    .map(({ path, norms, pairs }) => [
      printable(path),
      ...norms.map(number),
      ...pairs.flatMap(({ cosine, a, b }) => [cosine, a, b].map(number)),
    ]);
  if (rows.length > 0) for (const line of table([head, ...rows])) terminal.line(line);
  if (result.modules.length > listedModules)
    terminal.line(`  … and ${result.modules.length - listedModules} more; --json lists all`);
  return exitCodes.ok;
}
