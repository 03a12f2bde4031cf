#!/usr/bin/env node
// Takes the arguments of the `code` executable as @vscode/test-electron gives them, runs the suite inside the extension host
// of the browser-based VS Code, prints what the host prints, and ends with the suite's exit code.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { format, parseArgs } from 'node:util';
import { startBrowser, startServer } from './server.mjs';

const text = { type: 'string' };
const { values, positionals } = parseArgs({
  strict: false,
  allowPositionals: true,
  options: {
    extensionDevelopmentPath: { type: 'string', multiple: true },
    extensionTestsPath: text,
    'user-data-dir': text,
    'extensions-dir': text,
    'folder-uri': text,
    'disable-workspace-trust': { type: 'boolean' },
  },
});
const path = (value) => resolve(value.replace(/^file:\/\//, ''));
const folder = values['folder-uri'] ?? positionals[0];
const userData = values['user-data-dir'] && path(values['user-data-dir']);
const settingsFile = userData && join(userData, 'User/settings.json');
const settings =
  settingsFile && existsSync(settingsFile) ? JSON.parse(readFileSync(settingsFile, 'utf8')) : {};
const limitMs = Number(process.env.VSCODE_HARNESS_LIMIT_MS ?? 600_000);
/** Lines of the workbench itself come the same way as the suite's. */
const workbenchLine =
  /^(\[|Resolv(ing|ed) connection token|Creating a socket|Updating additional builtin|getaddrinfo|Failed: getaddrinfo|Timed out waiting for authentication|No search provider|%c|\S* *(INFO|WARN|TRACE|DEBUG)\b)/;

let server;
let browser;
let code = 1;
const end = async () => {
  await browser?.close().catch(() => {});
  await server?.stop();
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => void end().then(() => process.exit(130)));
try {
  server = await startServer({ settings, userData, trust: !values['disable-workspace-trust'], driver: true });
  browser = await startBrowser(server.folder);
  const page = browser.pages()[0] ?? (await browser.newPage());
  let finish;
  const finished = new Promise((resolve) => {
    finish = resolve;
  });
  await page.exposeFunction('codeAutomationExit', (result) => finish(result));
  await page.exposeFunction('codeAutomationLog', (_kind, parts) => {
    const line = format(...parts);
    if (process.env.VSCODE_HARNESS_VERBOSE || !workbenchLine.test(line)) console.log(line);
  });
  const payload = [
    ...(values.extensionDevelopmentPath ?? []).map((entry) => [
      'extensionDevelopmentPath',
      server.uri(path(entry)),
    ]),
    ['extensionTestsPath', server.uri(path(values.extensionTestsPath))],
  ];
  await page.goto(server.workbench(folder && path(folder), payload));
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, limitMs, 124);
  });
  code = await Promise.race([finished, late]);
  clearTimeout(timer);
  if (code === 124) {
    console.error(
      `The suite gave no result within ${limitMs} ms.\n${readFileSync(server.logFile, 'utf8').slice(-4000)}`,
    );
    const shot = process.env.VSCODE_HARNESS_SHOT;
    if (shot) await page.screenshot({ path: shot });
  }
} catch (error) {
  console.error(error);
} finally {
  await end();
}
process.exit(code);
