// Opens the sample workspace with the extension: in the `code` on the PATH, else in the browser-based VS Code, whose address
// is printed. The sample is copied, for runs are written beside it.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { install, root, run } from '../setup.mjs';
import { ensureInstalled, HarnessUnavailable } from './install.mjs';
import { startServer } from './server.mjs';

install();
run('node', ['scripts/build.mjs']);

const keep = join(root, '.vscode-test', 'sample');
const workspace = join(keep, 'workspace');
mkdirSync(workspace, { recursive: true });
if (existsSync(join(root, 'samples')))
  cpSync(join(root, 'samples'), join(workspace, 'samples'), {
    recursive: true,
    filter: (path) => !path.endsWith('.mjs'),
  });

const windows = process.platform === 'win32';
if (
  !process.argv.includes('--browser') &&
  spawnSync('code', ['--version'], { stdio: 'ignore', shell: windows }).status === 0
) {
  run('code', [`--extensionDevelopmentPath=${root}`, workspace]);
  process.exit(0);
}

try {
  ensureInstalled();
} catch (error) {
  if (!(error instanceof HarnessUnavailable)) throw error;
  console.error(
    `There is no \`code\` on the PATH, and the browser-based VS Code cannot be installed: ${error.message}.`,
  );
  process.exit(2);
}
const extensions = join(keep, 'extensions');
rmSync(extensions, { recursive: true, force: true });
mkdirSync(extensions, { recursive: true });
// The project itself is the installed extension; a build and a reload of the window show a change.
symlinkSync(root, join(extensions, 'lora-workbench.lora-workbench-0.1.0'), 'dir');
const server = await startServer({
  userData: join(keep, 'user'),
  extensions,
  idleSeconds: 7 * 24 * 3600,
  settings: { 'workbench.startupEditor': 'none' },
});
console.log(
  `\nLoRA Workbench is open at\n\n  ${server.workbench(workspace)}\n\nCtrl+C ends it. A training that is under way goes on.`,
);
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => void server.stop().then(() => process.exit(0)));
await server.exited;
