// Drives the extension in the browser-based VS Code for the checks in this folder: one server, one page, panels found by what
// stands in them, pictures in every theme. Nothing sleeps: each wait is for something that can be seen.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../../scripts/setup.mjs';
import { developExtensions, startBrowser, startServer } from '../../../scripts/vscode/server.mjs';

/** Themes by their setting, and the class that the workbench has in them. */
export const themes = {
  dark: ['Default Dark Modern', 'vs-dark', 'vscode-dark'],
  light: ['Default Light Modern', 'vs', 'vscode-light'],
  hc: ['Default High Contrast', 'hc-black', 'vscode-high-contrast'],
  'hc-light': ['Default High Contrast Light', 'hc-light', 'vscode-high-contrast-light'],
};
const wide = { width: 1440, height: 900 };
/** A machine that does other things too is slow; what is broken stays broken. */
const patienceMs = 60_000;

/** Waits until `get` gives something true, and returns it. */
export async function until(what, get, timeout = patienceMs) {
  for (const end = Date.now() + timeout; ; ) {
    const value = await get();
    if (value) return value;
    if (Date.now() > end) throw new Error(`Never: ${what}.`);
    await new Promise((resume) => setTimeout(resume, 50));
  }
}

/**
 * Selects the text of the field with the focus. Ctrl+A goes to the window and comes back into a panel later, on a busy machine
 * after the next keys, which it would select too.
 */
export async function selectText(page) {
  await page.keyboard.press('End');
  await page.keyboard.press('Shift+Home');
}

/**
 * Opens a workspace, or an empty window. `scratch` holds what the server keeps; `shots` is the folder for pictures. With
 * `extensions`, a folder of installed ones, those are tried; otherwise the project as it stands.
 */
export async function openWorkbench({ workspace, scratch, shots, settings = {}, extensions }) {
  const portFile = join(scratch, 'driver');
  const all = {
    'workbench.editorAssociations': { '*.lora.yaml': 'loraWorkbench.configure' },
    'security.workspace.trust.startupPrompt': 'never',
    'workbench.colorTheme': themes.dark[0],
    'workbench.reduceMotion': 'on',
    'editor.cursorBlinking': 'solid',
    'files.simpleDialog.enable': true,
    ...settings,
  };
  const server = await startServer({
    userData: join(scratch, 'user'),
    settings: all,
    env: { LORA_UI_DRIVER: portFile },
    ...(extensions === undefined ? {} : { extensions }),
  });
  const browser = await startBrowser(server.folder, wide);
  const page = browser.pages()[0] ?? (await browser.newPage());
  page.setDefaultTimeout(patienceMs);
  const errors = [];
  const outside = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (!/^(https?|wss?):$/.test(protocol) || /(^|\.)localhost$|^127\.0\.0\.1$/.test(hostname)) return;
    // A panel's own files have an address of this kind; the browser's service worker answers for them, no network does.
    if (hostname.endsWith('.vscode-resource.vscode-cdn.net')) return;
    outside.push([request.url(), request.isNavigationRequest() ? null : request.frame()]);
  });
  const driver = join(root, 'test/vscode/ui/driver');
  await developExtensions(page, server, extensions === undefined ? [root, driver] : [driver]);

  const ask = async (what, content = {}) => {
    const port = readFileSync(portFile, 'utf8');
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      body: JSON.stringify({ what, ...content }),
    });
    const { result, error } = await response.json();
    if (error !== undefined) throw new Error(`${what}: ${error}`);
    return result;
  };
  const listening = () => ask('ping').catch(() => false);

  const bench = {
    page,
    workspace,
    server,
    shots,
    ask,
    theme: 'dark',
    /** Console errors and faults that come from our panels, since the last look. */
    takeErrors: () =>
      errors
        .splice(0)
        .filter((text) => /lora-workbench|dist\/webview|vscode-resource|Content Security Policy/i.test(text)),
    /** Requests of the panels that left this machine; the editor's own frame is the editor's. */
    outside: () => outside.filter(([, frame]) => frame !== page.mainFrame()).map(([url]) => url),

    /** Opens a folder in this window. A start that hangs is tried again. */
    async openFolder(folder) {
      for (let attempt = 1; ; attempt++) {
        rmSync(portFile, { force: true });
        try {
          await page.goto(server.workbench(folder));
          await bench.started();
          return;
        } catch (cause) {
          if (attempt === 3) throw cause;
        }
      }
    },
    /** Waits for a window that is starting. */
    async started() {
      await page.waitForSelector('.monaco-workbench .part.statusbar', { timeout: 40_000 });
      await until('the extension host answers', listening, 40_000);
    },
    /**
     * The window's own reload, which keeps what its editors hold; the browser's would lose the last seconds of it. The
     * extension host is a new one afterwards.
     */
    async reload() {
      rmSync(portFile, { force: true });
      await bench.command('Developer: Reload Window');
      await bench.started().catch(async () => {
        // A start that hangs is tried again; the window has kept what it holds by now.
        await page.goto(page.url());
        await bench.started();
      });
    },

    /** Runs a command by its name in code, to get somewhere. */
    run: (id, ...args) => ask('command', { id, args }),
    setting: (key, value) => ask('setting', { key, value }),
    /** Shows a file of the workspace, in an editor of ours or as text. */
    show: (path, viewType = 'default') =>
      ask('command', { id: 'vscode.openWith', args: [{ path: join(workspace, path) }, viewType] }),
    /** Ends with an empty editor area and no widget open. */
    async clear() {
      await page.keyboard.press('Escape');
      await ask('command', { id: 'workbench.action.revertAndCloseActiveEditor' }).catch(() => {});
      for (let turn = 0; turn < 20 && (await ask('tabs')).some(({ isDirty }) => isDirty); turn++)
        await ask('command', { id: 'workbench.action.revertAndCloseActiveEditor' });
      await ask('command', { id: 'workbench.action.closeAllEditors' });
      await ask('command', { id: 'notifications.clearAll' });
    },

    /** Answers the editor's own dialog about a file or folder. */
    async place(path) {
      const input = page.locator('.quick-input-widget input[type=text]');
      await input.waitFor();
      await until('the dialog proposes a place', async () => (await input.inputValue()) !== '');
      // While it looks at a folder, the dialog does not listen to Enter, and may put its own proposal back.
      await until('the dialog takes the place', async () => {
        await input.fill(path, { timeout: 1000 }).catch(() => {});
        await page.waitForTimeout(300);
        if ((await input.inputValue({ timeout: 1000 }).catch(() => path)) !== path) return false;
        await page.keyboard.press('Enter');
        return input.waitFor({ state: 'hidden', timeout: 2000 }).then(
          () => true,
          () => false,
        );
      });
    },

    /** Types a command's title into the palette, and runs the entry that has exactly it. */
    async command(title) {
      const input = page.locator('.quick-input-widget input[type=text]');
      // The best match need not be the first: "Open Run" is also the start of "Open Run Folder".
      const row = page
        .locator(
          ['=', '^=']
            .map(
              (how, i) =>
                `.quick-input-list .monaco-list-row[aria-label${how}"${title}${i === 0 ? '' : ', '}"]`,
            )
            .join(', '),
        )
        .first();
      // A window that has just opened learns only bit by bit which commands are enabled.
      for (let attempt = 1; ; attempt++) {
        await page.keyboard.press('F1');
        await input.waitFor();
        await input.fill(`>${title}`);
        const found = await row.waitFor({ timeout: 4000 }).then(
          () => true,
          () => false,
        );
        if (found) break;
        if (attempt === 5) throw new Error(`The palette has no ${title}.`);
        await page.keyboard.press('Escape');
        await input.waitFor({ state: 'hidden' });
      }
      await row.click();
    },
    /** Opens a file of the workspace by its name, as a person does. */
    async open(name) {
      const input = page.locator('.quick-input-widget input[type=text]');
      await page.keyboard.press('Control+P');
      await input.waitFor();
      await input.fill(name);
      const file = name.split('/').at(-1);
      const row = page.locator('.quick-input-list .monaco-list-row', { hasText: file });
      await row.first().waitFor();
      await row.first().click();
    },
    /** Takes an entry of an open list of choices by key alone; `tick` marks it where several may be taken. */
    async pick(label, { tick = false } = {}) {
      const input = page.locator('.quick-input-widget input[type=text]');
      await input.waitFor();
      await page.keyboard.type(label);
      const focused = page.locator('.quick-input-list .monaco-list-row.focused');
      const row = page.locator('.quick-input-list .monaco-list-row', { hasText: label });
      await row.first().waitFor();
      for (let turn = 0; turn < 20; turn++) {
        const text =
          (await focused.count()) === 0
            ? ''
            : await focused.first().locator('.label-name').first().innerText();
        if (text === label) break;
        await page.keyboard.press('ArrowDown');
      }
      if (tick) await page.keyboard.press('Space');
      await page.keyboard.press('Enter');
      await input.waitFor({ state: 'hidden' });
    },
    /** An entry of an open list of choices. */
    choice: (text) => page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first(),

    /** The frame of the panel that holds a selector and is shown. */
    panel: (selector, timeout = patienceMs) =>
      until(
        `a panel shows ${selector}`,
        async () => {
          for (const frame of page.frames()) {
            try {
              if (frame === page.mainFrame() || !(await isShown(page, frame))) continue;
              const found = frame.locator(selector).first();
              if ((await found.count()) > 0 && (await found.isVisible())) return frame;
            } catch {
              // The frame went away meanwhile.
            }
          }
          return undefined;
        },
        timeout,
      ),

    /** Chooses a colour theme, and waits until the window and all panels wear it. */
    async dress(name) {
      const [setting, windowClass, panelClass] = themes[name];
      if (bench.theme !== name) await bench.setting('workbench.colorTheme', setting);
      bench.theme = name;
      await page.waitForSelector(`.monaco-workbench.${windowClass}`);
      await until(`panels are ${name}`, async () => {
        for (const frame of page.frames()) {
          if (frame.name() === '' || frame.childFrames().length > 0) continue;
          const worn = await frame
            .evaluate(
              (wanted) => document.querySelector('#app') === null || document.body.classList.contains(wanted),
              panelClass,
            )
            .catch(() => true);
          if (!worn) return false;
        }
        return true;
      });
    },
    /** Waits until what was asked for is painted, here and in a panel. */
    async painted(frame = page.mainFrame()) {
      const two = () =>
        new Promise((resume) =>
          requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resume, 30))),
        );
      await page.evaluate(two);
      await frame.evaluate(two).catch(() => {});
      await page.evaluate(two);
    },
    /** A picture of the whole window. */
    async shot(name, frame) {
      mkdirSync(shots, { recursive: true });
      await bench.painted(frame);
      await page.screenshot({ path: join(shots, `${name}.png`) });
    },
    /**
     * Pictures of a surface in every theme and at 900 px; of a further state of it in two themes. In a panel, axe looks at
     * each. Gives what it found.
     */
    async surface(name, frame, { state = false } = {}) {
      const found = [];
      const look = async (what) => {
        if (frame !== undefined) found.push(...(await axe(frame)).map((one) => `${what}: ${one}`));
      };
      for (const theme of state ? ['light', 'dark'] : ['light', 'hc', 'hc-light', 'dark']) {
        await bench.dress(theme);
        await bench.shot(`${name}-${theme}`, frame);
        await look(theme);
      }
      if (state) return found;
      await page.setViewportSize({ width: 900, height: wide.height });
      await bench.shot(`${name}-900`, frame);
      await look('900 px');
      if (frame !== undefined) found.push(...(await overflows(frame)));
      await page.setViewportSize(wide);
      await bench.painted(frame);
      return found;
    },

    /** Processes that came from this server, by a word of their command line. */
    processes: (word) =>
      processesWith(`LORA_UI_DRIVER=${portFile}`).filter(({ command }) => command.includes(word)),
    async close() {
      for (const { pid } of bench.processes('--detached')) process.kill(pid, 'SIGKILL');
      await browser.close().catch(() => {});
      await server.stop();
    },
  };
  await bench.openFolder(workspace);
  return bench;
}

/** Whether a frame lies in a part of the page that is seen; pages that are behind others keep their frames. */
async function isShown(page, frame) {
  let outer = frame;
  while (outer.parentFrame() !== null && outer.parentFrame() !== page.mainFrame())
    outer = outer.parentFrame();
  const element = await outer.frameElement();
  return element.isVisible();
}

/** All processes with a variable in their environment: a trainer outlives the extension host, and keeps what it was given. */
function processesWith(variable) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const environment = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
        if (!environment.includes(variable)) return [];
        return [
          { pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') },
        ];
      } catch {
        return [];
      }
    });
}

const axeSource = readFileSync(join(root, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** Serious and critical findings of axe-core in a panel. */
export async function axe(frame) {
  // Evaluated through the debugger, past the panel's own policy.
  if (!(await frame.evaluate(() => 'axe' in globalThis))) await frame.evaluate(axeSource);
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

/** Whether the page itself, or something in it that does not scroll, is wider than its place. */
export async function overflows(frame) {
  return frame.evaluate(() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    const widest = [...document.querySelectorAll('main *')]
      .filter((one) => one.getBoundingClientRect().right > room + 1)
      .slice(0, 3)
      .map((one) => `${one.tagName.toLowerCase()}.${one.getAttribute('class') ?? ''}`);
    return [
      `wider than the window by ${document.documentElement.scrollWidth - room} px: ${widest.join(', ')}`,
    ];
  });
}
