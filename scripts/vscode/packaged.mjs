// Makes the VSIX, looks at what is in it, installs exactly it into an empty editor, opens its sample workspace by the palette
// and trains the sample there, from the command to the adapter in the tree. The last line counts. Where neither editor nor
// browser can be had, it says so and ends well.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { install, root, run } from '../setup.mjs';
import { ensureInstalled, HarnessUnavailable } from './install.mjs';
import { serverEntry, serverNode } from './paths.mjs';

install();
try {
  ensureInstalled();
} catch (error) {
  if (!(error instanceof HarnessUnavailable)) throw error;
  console.log(`The package is not tried in an editor: ${error.message}.`);
  process.exit(0);
}
const { openWorkbench, until } = await import('../../test/vscode/ui/workbench.mjs');
const { Report } = await import('../../test/vscode/ui/report.mjs');
const { openSidebar } = await import('../../test/vscode/ui/sidebar.mjs');

const report = new Report();
const target = `${process.platform}-${process.arch}`;
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
run('node', ['scripts/package.mjs'], { stdio: ['ignore', 'ignore', 'inherit'] });
const vsix = join(root, `lora-workbench-${target}-${version}.vsix`);
const scratch = mkdtempSync(join(tmpdir(), 'lwpack-'));
const extensions = join(scratch, 'extensions');
mkdirSync(extensions);
let bench;
console.log(`\nThe package ${vsix}`);
try {
  execFileSync(
    serverNode,
    [
      serverEntry,
      '--install-extension',
      vsix,
      '--extensions-dir',
      extensions,
      '--user-data-dir',
      join(scratch, 'user'),
    ],
    { env: { ...process.env, XDG_CONFIG_HOME: scratch, XDG_DATA_HOME: scratch }, stdio: 'pipe' },
  );
  const folder = readdirSync(extensions).find((name) => name.startsWith('lora-workbench.lora-workbench'));
  report.check('it installs', folder !== undefined, folder);
  const installed = join(extensions, folder);
  const files = readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const native = files.filter(isNative).map((path) => path.slice(installed.length + 1));
  report.check(
    'its binaries are those of this platform alone',
    native.length > 0 && native.every((path) => /linux[\\/_-]x64/.test(path)),
    native.join(', '),
  );
  report.none(
    'no source, no test, no map goes along',
    files.filter((path) => /\.(ts|map)$|[\\/]test[\\/]/.test(path)),
  );
  const megabytes = statSync(vsix).size / 1e6;
  const told = Number(/`\.vsix` \((\d+) MB/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1]);
  report.check(
    'the README tells its size',
    Math.abs(told - megabytes) <= 1,
    `${told} MB, ${megabytes.toFixed(1)} MB measured`,
  );

  bench = await openWorkbench({ scratch, shots: join(root, 'build', 'screenshots'), extensions });
  const { page } = bench;
  await bench.command('LoRA Workbench: Open Sample Workspace');
  await bench.place(`${scratch}/`);
  const copy = join(scratch, 'lora-workbench-sample');
  const recipe = join(copy, 'pirate.lora.yaml');
  await until('the sample is copied', () => existsSync(recipe));
  await page.waitForFunction(() => document.title.includes('sample'), undefined, { timeout: 40_000 });
  await bench.started();
  // The same training, a few steps of it.
  const text = readFileSync(recipe, 'utf8');
  const short = text
    .replace(/^max_steps: .*$/m, 'max_steps: 6')
    .replace(/^eval_steps: .*$/m, 'eval_steps: 6')
    .replace(/^max_length: .*$/m, 'max_length: 128');
  writeFileSync(recipe, short);
  await openSidebar(bench);
  await page.locator('.pane-body .monaco-list-row', { hasText: 'pirate' }).first().waitFor();
  await bench.command('LoRA Workbench: Run Recipe');
  await bench.choice('pirate.lora.yaml').click();
  const shown = await bench.panel('main.lw .rn-head h1:text-is("pirate")', 120_000);
  await until(
    'the training ends',
    async () => /Finished|Failed|Stopped/.test(await shown.locator('.rn-head').innerText()),
    240_000,
  );
  const state = await shown.locator('.rn-head .state').innerText();
  report.check('the sample trains', state === 'Finished, 6 steps', state);
  await bench.shot('packaged-run-dark', shown);
  const adapter = join(copy, 'runs/pirate/adapter');
  report.check(
    'and its adapter is there',
    existsSync(join(adapter, 'adapter_model.safetensors')) &&
      existsSync(join(adapter, 'adapter_config.json')),
  );
  await page
    .locator('.pane-body .monaco-list-row', { hasText: /LoRA r16/ })
    .first()
    .waitFor();
  report.check('in the tree, too', true);
  report.none('no console error', bench.takeErrors());
} catch (error) {
  report.check('the package works', false, String(error?.stack ?? error));
  await bench?.shot('failed-packaged').catch(() => {});
} finally {
  await bench?.close();
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}
console.log(`\nPackage: ${report.passed} passed, ${report.failures.length} failed`);
process.exit(report.failures.length > 0 ? 1 : 0);

/** Whether a file is a program or a library, by its first bytes: ELF, PE, Mach-O. */
function isNative(path) {
  const head = readFileSync(path).subarray(0, 4).toString('hex');
  return /^(7f454c46|4d5a|feedface|feedfacf|cffaedfe|cefaedfe|cafebabe)/.test(head);
}
