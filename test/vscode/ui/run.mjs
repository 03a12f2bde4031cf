// The page of a run: a log that grows, comparison, table, tabs, export, a failed run, 100,000 steps.
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tabThrough } from './keyboard.mjs';
import { stepOf, writeLiveRun } from './run.fixtures.mjs';
import { openSidebar } from './sidebar.mjs';
import { until } from './workbench.mjs';

/** Opens a run from the tree, and gives its page. */
export async function openRun(bench, name) {
  const { page } = bench;
  await openSidebar(bench);
  const row = page.locator('.pane-body .monaco-list-row', { hasText: name }).first();
  await row.waitFor();
  await row.click();
  return bench.panel(`main.lw .rn-head h1:text-is("${name}")`);
}

export async function checkRun(bench, t) {
  const { workspace } = bench;
  const folder = writeLiveRun(workspace);
  try {
    await bench.run('loraWorkbench.refresh');
    await live(bench, t, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await bench.run('loraWorkbench.refresh');
  }
  await bench.clear();

  const failed = await openRun(bench, 'gsm8k-lora-lr1e-2');
  await failed.locator('.rn-fail').waitFor();
  t.check(
    'a failure says why and what to do',
    /not finite at step 41/.test(await failed.locator('.rn-fail').innerText()),
  );
  t.none('failed run: pictures, axe', await bench.surface('run-failed', failed, { state: true }));
  await bench.clear();

  const began = Date.now();
  const huge = await openRun(bench, 'huge');
  await until('100,000 steps are drawn', async () =>
    /100,000 steps/.test((await huge.locator('.rn-loss canvas').getAttribute('aria-label')) ?? ''),
  );
  t.note('100,000 steps drawn after', `${Date.now() - began} ms with the click`);
  const frames = await huge.evaluate(async () => {
    const times = [];
    const box = document.querySelector('vscode-checkbox');
    for (let i = 0; i < 6; i++) {
      const start = performance.now();
      box.click();
      await new Promise((resume) => requestAnimationFrame(() => requestAnimationFrame(resume)));
      times.push(performance.now() - start);
    }
    return times;
  });
  t.note('and redrawn in', `${frames.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  await bench.shot('run-huge-dark', huge);

  await huge.locator('button', { hasText: 'CSV' }).click();
  const csv = await saveDialog(bench, join(workspace, 'exported.csv'));
  const lines = csv.toString('utf8').trim().split('\n');
  t.check(
    'the numbers are saved as CSV',
    lines.length >= 100_001 && /step/.test(lines[0]),
    lines.slice(0, 2).join(' / '),
  );
  await huge.locator('button', { hasText: 'PNG' }).click();
  const png = await saveDialog(bench, join(workspace, 'exported.png'));
  t.check(
    'the chart is saved as PNG',
    png.subarray(1, 4).toString('latin1') === 'PNG' && png.length > 5000,
    `${png.length} bytes`,
  );
}

/** Answers the editor's own dialog, and gives the file's content. */
async function saveDialog(bench, path) {
  rmSync(path, { force: true });
  await bench.place(path);
  await until(`${path} is written`, () => existsSync(path) && readFileSync(path).length > 0);
  return readFileSync(path);
}

async function live(bench, t, folder) {
  const { page } = bench;
  const run = await openRun(bench, 'gsm8k-qlora-r16');
  // Its log is of an earlier day, so it is seen to say nothing.
  await until('the state', async () => /step 864/.test(await run.locator('.rn-head').innerText()));
  await until('the chart', async () =>
    /864 steps/.test((await run.locator('.rn-loss canvas').getAttribute('aria-label')) ?? ''),
  );
  await until('the tab has our icon', () =>
    page.evaluate(() => {
      const parts = [...document.querySelectorAll('.tab.active, .tab.active *')];
      return parts.some((part) =>
        [undefined, '::before'].some((pseudo) =>
          /workbench-(dark|light)\.svg/.test(getComputedStyle(part, pseudo).backgroundImage),
        ),
      );
    }),
  );
  t.check('its tab has our icon', true);
  const walk = await tabThrough(bench, run);
  t.none(`Tab reaches every control of a run, ${walk.stops} stops`, walk.problems);

  const log = join(folder, 'events.jsonl');
  // Stamped inside the page, when the state's words change.
  await run.evaluate(() => {
    globalThis.seen = new Map();
    const place = document.querySelector('.rn-head').parentElement;
    new MutationObserver(() => {
      const step = /step (\d+)/.exec(place.querySelector('.state')?.textContent ?? '')?.[1];
      if (step && !globalThis.seen.has(step)) globalThis.seen.set(step, Date.now());
    }).observe(place, { childList: true, subtree: true });
  });
  const latencies = [];
  for (let i = 865; i < 871; i++) {
    const before = Date.now();
    appendFileSync(log, `${JSON.stringify(stepOf(i, 1323, new Date().toISOString()))}\n`);
    await until(`step ${i}`, () => run.evaluate((step) => globalThis.seen.has(String(step)), i));
    latencies.push((await run.evaluate((step) => globalThis.seen.get(String(step)), i)) - before);
  }
  latencies.sort((a, b) => a - b);
  t.note('an event on the screen after', `median ${latencies[3]} ms, worst ${latencies[5]} ms`);
  t.none('run: pictures, axe', await bench.surface('run', run));

  // The chart as a table, by key.
  await run.locator('summary', { hasText: 'Show as table' }).focus();
  await page.keyboard.press('Enter');
  await until('the chart as a table', async () => (await run.locator('.rn-table tbody tr').count()) > 50);
  t.check('the chart is there as a table, by key', true);
  await page.keyboard.press('Enter');

  await run.locator('button', { hasText: 'Compare' }).focus();
  await page.keyboard.press('Enter');
  await bench.pick('gsm8k-lora-r16', { tick: true });
  await run.locator('.rn-other').waitFor();
  t.check('another run lies over it, by key', (await run.locator('.rn-other').count()) === 1);
  t.none('compared runs: pictures, axe', await bench.surface('run-compared', run, { state: true }));

  await run.locator('#tab-charts').focus();
  await page.keyboard.press('ArrowRight');
  await until(
    'the tab of samples',
    async () => (await run.locator('#tab-samples').getAttribute('aria-selected')) === 'true',
  );
  t.none('samples: pictures, axe', await bench.surface('run-samples', run));
  await page.keyboard.press('End');
  t.check(
    'arrows and End move between tabs',
    (await run.locator('#tab-recipe').getAttribute('aria-selected')) === 'true',
  );
  await run.locator('.rn-recipe pre').waitFor();
  await bench.shot('run-recipe-dark', run);
  await run.locator('#tab-log').click();
  await bench.shot('run-log-dark', run);
  await run.locator('#tab-charts').click();
  await run.locator('.rn-other .rn-series').focus();
  await page.keyboard.press('Delete');
  await until('Delete takes the other run away', async () => (await run.locator('.rn-other').count()) === 0);
  t.check('Delete takes the other run away', true);
}
