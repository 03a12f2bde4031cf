// A workbench for the scripts that measure: the checks' workspace with what a measurement adds, in a folder of its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openWorkbench } from './workbench.mjs';
import { makeWorkspace } from './workspace.mjs';

/** @param prepare adds files to the workspace. */
export async function openTimed(prepare) {
  const scratch = mkdtempSync(join(tmpdir(), 'lwtime-'));
  const workspace = join(scratch, 'workspace');
  const remove = () => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
  try {
    makeWorkspace(workspace);
    prepare(workspace);
    const bench = await openWorkbench({ workspace, scratch, shots: join('build', 'shots') });
    return {
      ...bench,
      async close() {
        await bench.close();
        remove();
      },
    };
  } catch (cause) {
    remove();
    throw cause;
  }
}

/** The value under which a share `q` of the values lies. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}
