// What stands around the panels: the palette right after the window opened, the trees by mouse and keyboard, the walkthrough,
// and the welcome of an empty folder.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './workbench.mjs';

const row = (page, text) => page.locator('.pane-body .monaco-list-row', { hasText: text }).first();

/** Brings our views to the front. */
export async function openSidebar(bench) {
  const { page } = bench;
  const tab = page.locator('.activitybar .action-item:has(a[aria-label^="LoRA Workbench"])').first();
  await tab.waitFor();
  if (!/checked/.test((await tab.getAttribute('class')) ?? '')) await tab.click();
  await page.locator('.pane-header[aria-label^="Runs"]').waitFor();
}

export async function checkSidebar(bench, t) {
  const { page } = bench;
  await page.keyboard.press('F1');
  const input = page.locator('.quick-input-widget input[type=text]');
  await input.waitFor();
  await input.fill('>LoRA Workbench: ');
  const rows = page.locator('.quick-input-list .monaco-list-row');
  const labels = await until('the palette lists our commands', async () => {
    const names = await rows.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? ''));
    return names.filter((name) => name.startsWith('LoRA Workbench')).length >= 8 && names;
  });
  t.check(
    'commands are in the palette as soon as the window is open',
    labels.some((name) => name.includes('New Fine-Tune')) && labels.some((name) => name.includes('Doctor')),
  );
  for (const title of ['New Fine-Tune…', 'Run Recipe', 'Inspect Adapter', 'Open Sample Workspace']) {
    await input.fill(`>LoRA Workbench: ${title}`);
    await until(`the palette finds ${title}`, async () =>
      (await rows.first().getAttribute('aria-label'))?.includes(title),
    );
  }
  await input.fill('>LoRA Workbench: ');
  await rows.nth(5).waitFor();
  t.none('palette: pictures', await bench.surface('palette'));
  await page.keyboard.press('Escape');
  await input.waitFor({ state: 'hidden' });

  await openSidebar(bench);
  await row(page, 'gsm8k-lora-r16').waitFor();
  await row(page, 'learned').waitFor();
  await row(page, 'chat.jsonl').waitFor();
  const text = (await page.locator('.part.sidebar').innerText()).replaceAll('\n', ' ');
  t.check('runs tell their state', /failed|stopped|eval/i.test(text));
  t.check('adapters stand under their base', /tiny/.test(text) && /some-model/.test(text), text);
  t.none('sidebar: pictures', await bench.surface('sidebar'));

  // The trees by keyboard alone.
  await bench.command('View: Show LoRA Workbench');
  await bench.run('loraWorkbench.runs.focus');
  await until('the tree of runs has the focus', () =>
    page.evaluate(() => document.activeElement?.closest('.pane-body') !== null),
  );
  await page.keyboard.press('Home');
  const names = new Set();
  for (let turn = 0; turn < 4; turn++) {
    names.add(await page.locator('.pane-body .monaco-list-row.focused').first().getAttribute('aria-label'));
    await page.keyboard.press('ArrowDown');
  }
  t.check('arrows walk through the tree of runs', names.size >= 4, [...names].join(' | '));
  await page.keyboard.press('Home');
  await page.keyboard.press('Shift+F10');
  const menu = page.locator('.monaco-menu-container .action-label');
  await menu.first().waitFor();
  const entries = (await menu.allInnerTexts()).filter(Boolean);
  t.check('the menu of a run opens by key', entries.includes('Open Run Folder'), entries.join(' | '));
  await page.keyboard.press('Escape');
  await menu.first().waitFor({ state: 'hidden' });
  await page.keyboard.press('Enter');
  await bench.panel('main.lw .rn-head h1');
  t.check('Enter opens the run', true);
  await bench.clear();

  await bench.run('workbench.action.openWalkthrough', 'lora-workbench.lora-workbench#firstRun', false);
  await page.locator('.gettingStartedDetailsContent .step-title').first().waitFor();
  await page.locator('.step-container', { hasText: 'Open the sample' }).first().waitFor();
  t.none('walkthrough: pictures', await bench.surface('walkthrough'));
}

/** An empty folder: what the views say when there is nothing to show. */
export async function checkWelcome(bench, t) {
  const { page } = bench;
  const empty = join(bench.workspace, '..', 'empty');
  mkdirSync(empty, { recursive: true });
  await bench.openFolder(empty);
  await openSidebar(bench);
  await page.locator('.welcome-view-content', { hasText: 'No run in this workspace yet' }).waitFor();
  const words = (await page.locator('.welcome-view-content').allInnerTexts()).join(' ');
  t.check(
    'an empty folder is told what to do',
    /New Fine-Tune/.test(words) && /No adapter/.test(words) && /No model/.test(words),
  );
  t.none('welcome: pictures', await bench.surface('welcome'));
}
