// Drives the extension in the browser-based VS Code for the checks in this folder: a fresh workspace, one page, panels found
// by what stands in them, pictures in every theme.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../../scripts/setup.mjs';
import { developExtensions, startBrowser, startServer } from '../../../scripts/vscode/server.mjs';

export const themes = {
  dark: 'Default Dark Modern',
  light: 'Default Light Modern',
  hc: 'Default High Contrast',
};

/** As the theme picker names them. */
const labels = { dark: 'Dark Modern', light: 'Light Modern', hc: 'Dark High Contrast' };

/** Opens the test workspace. `settings` are added to the user's; `prepare(folder)` may add files. */
export async function openWorkbench({
  settings = {},
  prepare,
  viewport = { width: 1440, height: 900 },
} = {}) {
  const scratch = mkdtempSync(join(tmpdir(), 'lwui-'));
  const workspace = join(scratch, 'workspace');
  const made = spawnSync(process.execPath, [join(root, 'build/vscode/makeWorkspace.js'), workspace], {
    cwd: root,
    stdio: 'inherit',
  });
  if (made.status !== 0) throw new Error('The test workspace was not made.');
  await prepare?.(workspace);
  const userData = join(scratch, 'user');
  const all = {
    'workbench.editorAssociations': { '*.lora.yaml': 'loraWorkbench.configure' },
    'security.workspace.trust.startupPrompt': 'never',
    'workbench.colorTheme': themes.dark,
    ...settings,
  };
  const server = await startServer({ userData, settings: all });
  const browser = await startBrowser(server.folder, viewport);
  const page = browser.pages()[0] ?? (await browser.newPage());
  const errors = [];
  const outside = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (/^(https?|wss?):$/.test(protocol) && !/(^|\.)localhost$|^127\.0\.0\.1$/.test(hostname))
      outside.push(request.url());
  });
  await developExtensions(page, server, [root]);
  await page.goto(server.workbench(workspace));
  await page.waitForSelector('.monaco-workbench .part.statusbar', { timeout: 60_000 });

  return {
    page,
    workspace,
    /** Console errors that come from our panels. */
    ourErrors: () =>
      errors.filter((text) => /lora-workbench|dist\/webview|Content Security Policy/i.test(text)),
    /** Requests of the panels that left this machine. */
    outside: () => outside.filter((url) => !/vscode-cdn|microsoft|open-vsx|visualstudio/.test(url)),
    async close() {
      await browser.close().catch(() => {});
      await server.stop();
      rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
    },
    /** Runs a command by its title. */
    async command(title) {
      await page.keyboard.press('F1');
      const input = page.locator('.quick-input-widget input[type=text]');
      await input.waitFor();
      await input.fill(`>${title}`);
      // The best match need not be the first: "Open Run" is also the start of "Open Run Folder".
      const rows = page.locator('.quick-input-list .monaco-list-row');
      await rows.first().waitFor();
      await page.waitForTimeout(400);
      const names = await rows.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? ''));
      const exact = names.findIndex((name) => name === title || name.startsWith(`${title},`));
      const row = rows.nth(Math.max(0, exact));
      await row.waitFor();
      await row.click();
    },
    /** Opens a file of the workspace by its name. */
    async open(name) {
      await page.keyboard.press('Control+P');
      const input = page.locator('.quick-input-widget input[type=text]');
      await input.waitFor();
      await input.fill(name);
      await page
        .locator('.quick-input-list .monaco-list-row', { hasText: name.split('/').at(-1) })
        .first()
        .waitFor();
      await page.waitForTimeout(400);
      await page.keyboard.press('Enter');
    },
    /** The frame of the panel that holds a selector and is shown. */
    async panel(selector, timeout = 30_000) {
      for (const until = Date.now() + timeout; Date.now() < until; await page.waitForTimeout(100)) {
        for (const frame of page.frames()) {
          try {
            const found = frame.locator(selector).first();
            if ((await found.count()) > 0 && (await found.isVisible())) return frame;
          } catch {
            // The frame went away meanwhile.
          }
        }
      }
      throw new Error(`No panel shows ${selector}.`);
    },
    /** Chooses a colour theme as a person does; the settings' file is read only once. */
    async theme(name) {
      await this.command('Preferences: Color Theme');
      const input = page.locator('.quick-input-widget input[type=text]');
      await page.waitForTimeout(600);
      await input.fill(labels[name]);
      const row = page.locator('.quick-input-list .monaco-list-row', { hasText: labels[name] }).first();
      await row.waitFor();
      await row.click();
      await page.waitForTimeout(1500);
    },
    /** A picture of the whole window. */
    async shot(folder, name) {
      mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: join(folder, `${name}.png`) });
    },
  };
}

/** Serious and critical findings of axe-core in a panel. */
export async function axe(frame) {
  const require = createRequire(import.meta.url);
  const source = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
  // Evaluated through the debugger, past the panel's own policy.
  await frame.evaluate(source);
  const { violations } = await frame.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ['violations'], rules: { region: { enabled: false } } }),
  );
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, impact, nodes }) =>
        `${impact} ${id}: ${nodes.map(({ html, target }) => `${target.join(' ')} ${html.slice(0, 120)}`).join(' | ')}`,
    );
}
