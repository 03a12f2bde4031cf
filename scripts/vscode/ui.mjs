// Runs the checks of test/vscode/ui in a real browser on a real workbench, and puts pictures of every surface in every theme
// into build/screenshots. Arguments: names of checks (all without), `--shots=FOLDER`. One server and one window serve all. The
// last line counts. Where neither editor nor browser can be had, it says so and ends well.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { install, root, run } from '../setup.mjs';
import { ensureInstalled, HarnessUnavailable } from './install.mjs';

install();
try {
  ensureInstalled();
} catch (error) {
  if (!(error instanceof HarnessUnavailable)) throw error;
  console.log(`Checks in the browser skipped: ${error.message}.`);
  process.exit(0);
}
const { openWorkbench } = await import('../../test/vscode/ui/workbench.mjs');
const { Report } = await import('../../test/vscode/ui/report.mjs');
const { checks } = await import('../../test/vscode/ui/checks.mjs');
const { makeWorkspace } = await import('../../test/vscode/ui/workspace.mjs');

const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const given = process.argv.find((argument) => argument.startsWith('--shots='))?.slice('--shots='.length);
const chosen = checks.filter(({ name }) => names.length === 0 || names.includes(name));
if (chosen.length === 0) {
  console.error(
    `No check is called ${names.join(', ')}; there are ${checks.map(({ name }) => name).join(', ')}.`,
  );
  process.exit(2);
}
run('node', ['scripts/build.mjs', '--vscode-tests']);

const scratch = mkdtempSync(join(tmpdir(), 'lwui-'));
const workspace = join(scratch, 'workspace');
const shots = resolve(given ?? join(root, 'build', 'screenshots'));
if (names.length === 0) rmSync(shots, { recursive: true, force: true });
mkdirSync(shots, { recursive: true });
const report = new Report();
/** Checks that passed only with the second try: on a quiet machine a fault to look at. */
const again = [];
let bench;
const started = Date.now();
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => void Promise.resolve(bench?.close()).finally(() => process.exit(130)));
try {
  makeWorkspace(workspace);
  bench = await openWorkbench({ workspace, scratch, shots });
  for (const one of chosen) {
    let found = await attempt(one);
    // A machine that stands still for seconds fails a check once; what is broken fails it again.
    if (found.failures.length > 0) {
      console.log('\nOnce more, in a fresh window on a fresh workspace:');
      makeWorkspace(workspace);
      await bench.openFolder(workspace);
      found = await attempt(one);
      if (found.failures.length === 0) again.push(one.name);
    }
    report.add(found);
    if (found.failures.length > 0) await bench.openFolder(workspace);
  }
} catch (error) {
  report.check('the workbench opens', false, String(error?.stack ?? error));
} finally {
  await bench?.close();
  for (let turn = 0; turn < 2; turn++) rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}
if (again.length > 0) console.log(`\nOnly at the second try: ${again.join(', ')}`);
console.log(
  `\nBrowser: ${report.passed} passed, ${report.failures.length} failed; pictures in ${shots}; ${Math.round((Date.now() - started) / 1000)} s`,
);
process.exit(report.failures.length > 0 || report.passed === 0 ? 1 : 0);

async function attempt({ name, title, check }) {
  const found = new Report();
  const began = Date.now();
  console.log(`\n${title}`);
  try {
    await bench.clear();
    await check(bench, found);
    found.none('no console error', bench.takeErrors());
    found.none('nothing asked outside', bench.outside());
  } catch (error) {
    found.check(`${title} goes through`, false, String(error?.stack ?? error));
    await bench.shot(`failed-${name}`).catch(() => {});
  }
  bench.takeErrors();
  found.note('took', `${((Date.now() - began) / 1000).toFixed(1)} s`);
  return found;
}
