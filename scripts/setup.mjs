// Brings a fresh clone to the point where its programs run: packages installed (install scripts off), nothing else.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a command with the terminal attached; ends this process with its exit code if it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    ...options,
  });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Installs the locked packages unless node_modules already matches package-lock.json. */
export function install() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) {
    console.error(
      `LoRA Workbench needs Node 20 or newer; this is ${process.versions.node}. Install a current Node and try again.`,
    );
    process.exit(2);
  }
  const stamp = `${root}node_modules/.package-lock.json`;
  const fresh = existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs;
  if (fresh && installedMatchesLock()) return;
  console.log('Installing packages (install scripts off) …');
  run('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error']);
}

function installedMatchesLock() {
  const lock = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8'));
  return Object.keys(lock.packages[''].dependencies ?? {}).every((name) => {
    const file = `${root}node_modules/${name}/package.json`;
    return (
      existsSync(file) &&
      JSON.parse(readFileSync(file, 'utf8')).version === lock.packages[`node_modules/${name}`].version
    );
  });
}
