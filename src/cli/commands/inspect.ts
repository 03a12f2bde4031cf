// inspect PATH: what an adapter, checkpoint, dataset or run is, its tensors and its problems.
import { resolve } from 'node:path';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal, table } from '../terminal';

/** More are counted, not listed; --json has them all. */
const listedTensors = 40;

export async function inspect(path: string, terminal: Terminal): Promise<number> {
  const result = await callTrainer('inspect', { path: resolve(path) }, terminal, { onInterrupt: 'kill' });
  terminal.document(result);
  terminal.line(`${terminal.style('bold', result.kind)}: ${printable(result.summary)}`);
  for (const line of table(
    Object.entries(result.facts).map(([key, value]) => [key, printable(String(value ?? 'unknown'))]),
  )) {
    terminal.line(line);
  }
  const tensors = result.tensors ?? [];
  if (tensors.length > 0) terminal.line(`${tensors.length} tensors`);
  const rows = tensors
    .slice(0, listedTensors)
    .map(({ name, dtype, shape, norm }) => [
      printable(name),
      dtype,
      `[${shape.join(', ')}]`,
      norm === null ? '' : `norm ${norm.toPrecision(4)}`,
    ]);
  for (const line of table(rows)) terminal.line(line);
  if (tensors.length > listedTensors)
    terminal.line(`  … and ${tensors.length - listedTensors} more; --json lists all`);
  for (const { where, message, remedy } of result.problems) {
    terminal.line(`${terminal.style('yellow', 'Problem:')} ${printable(where)}: ${printable(message)}`);
    if (remedy !== undefined) terminal.line(`  → ${printable(remedy)}`);
  }
  return exitCodes.ok;
}
