// Starts the browser-based VS Code on a free port of this machine and, for tests, a headless Chromium on it.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findChromium, serverEntry, serverNode } from './paths.mjs';

const startMs = 60_000;

/** Settings without which first-start pages and notices cover what a test looks at. */
const quiet = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'chat.disableAIFeatures': true,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'telemetry.telemetryLevel': 'off',
  'window.commandCenter': false,
  'git.openRepositoryInParentFolders': 'never',
};

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const sleep = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

/**
 * Starts a server. `userData` keeps its state between starts; without it everything is forgotten. `trust` switches
 * Workspace Trust on; `driver` makes test runs report their end to the page; `idleSeconds` ends a server that was left behind.
 */
export async function startServer(options = {}) {
  const {
    settings = {},
    userData,
    extensions,
    trust = false,
    driver = false,
    env = {},
    port = await freePort(),
    idleSeconds = 120,
  } = options;
  // Short, for the paths of Unix sockets have a bound of 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'lwvs-'));
  const data = userData ?? join(folder, 'data');
  mkdirSync(join(data, 'User'), { recursive: true });
  const all = { ...quiet, 'security.workspace.trust.enabled': trust, ...settings };
  writeFileSync(join(data, 'User/settings.json'), JSON.stringify(all, null, 2));
  const logFile = join(folder, 'server.log');
  const log = openSync(logFile, 'a');
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(VSCODE_(?!HARNESS)|PASSWORD$|PORT$|NODE_OPTIONS$)/.test(name),
    ),
  );
  const child = spawn(
    serverNode,
    [
      serverEntry,
      ...['--auth', 'none', '--bind-addr', `127.0.0.1:${port}`],
      ...['--user-data-dir', data, '--extensions-dir', extensions ?? join(folder, 'extensions')],
      ...[
        '--disable-telemetry',
        '--disable-update-check',
        '--disable-getting-started-override',
        '--ignore-last-opened',
      ],
      ...['--idle-timeout-seconds', String(idleSeconds)],
      ...(trust ? [] : ['--disable-workspace-trust']),
      ...(driver ? ['--vscode-option', 'enable-smoke-test-driver'] : []),
    ],
    {
      stdio: ['ignore', log, log],
      env: {
        ...inherited,
        ...env,
        // As from a terminal: the start files of a login shell replace nothing, such as a PATH with another nvidia-smi.
        VSCODE_CLI: '1',
        XDG_CONFIG_HOME: folder,
        XDG_DATA_HOME: folder,
        XDG_RUNTIME_DIR: folder,
      },
      // A process group of its own, so that its end takes the whole tree along.
      detached: true,
    },
  );
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // It is gone already.
    }
  };
  process.once('exit', () => signal('SIGKILL'));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const url = `http://localhost:${port}/`;
  for (const until = Date.now() + startMs; ; await sleep(100)) {
    if (child.exitCode !== null || Date.now() > until)
      throw new Error(`The browser-based VS Code did not start:\n${readFileSync(logFile, 'utf8')}`);
    const up = await fetch(`${url}healthz`).then(
      (response) => response.ok,
      () => false,
    );
    if (up) break;
  }
  return {
    url,
    port,
    folder,
    logFile,
    pid: child.pid,
    exited,
    /** A path as the page names it. */
    uri: (path) => `vscode-remote://localhost:${port}${path}`,
    /** The address of the workbench with a folder open. */
    workbench(workspace, payload = []) {
      const address = new URL(url);
      if (workspace !== undefined) address.searchParams.set('folder', workspace);
      if (payload.length > 0) address.searchParams.set('payload', JSON.stringify(payload));
      return address.href;
    },
    async stop() {
      signal('SIGTERM');
      await Promise.race([exited, sleep(4000)]);
      signal('SIGKILL');
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** A browser with an empty profile in `folder`. */
export async function startBrowser(folder, viewport = { width: 1280, height: 800 }) {
  const { chromium } = await import('playwright-core');
  return chromium.launchPersistentContext(join(folder, 'browser'), {
    executablePath: findChromium(),
    headless: true,
    viewport,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      // Nothing leaves this machine, whatever a page asks for.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
    ],
  });
}

/**
 * Tells a page, before it loads, of extensions under development. The page's own configuration is extended where it is
 * read; a rewritten document would lose its address, and with it the right to a WebSocket.
 */
export async function developExtensions(page, server, paths) {
  const uris = paths.map((path) => ({
    $mid: 1,
    scheme: 'vscode-remote',
    authority: `localhost:${server.port}`,
    path,
  }));
  await page.addInitScript((extensions) => {
    const original = Element.prototype.getAttribute;
    Element.prototype.getAttribute = function (name) {
      const value = original.call(this, name);
      if (name !== 'data-settings' || this.id !== 'vscode-workbench-web-configuration') return value;
      const settings = JSON.parse(value);
      settings.developmentOptions = { ...settings.developmentOptions, extensions };
      return JSON.stringify(settings);
    };
  }, uris);
}
