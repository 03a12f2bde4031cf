// The form of a recipe in a real workbench: fill in, undo, edit the text, start by keyboard; how soon the forecast follows;
// axe; pictures. Argument: a folder for pictures. The last line counts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { axe, openWorkbench } from './workbench.mjs';

const shots = process.argv[2] ?? join('build', 'shots');
const failures = [];
let passed = 0;
const check = (what, ok, detail = '') => {
  if (ok) passed++;
  else failures.push(`${what} ${detail}`);
  console.log(`  ${ok ? '✔' : '✖'} ${what}${detail ? ` (${detail})` : ''}`);
};

const w = await openWorkbench({ settings: { 'loraWorkbench.openRunOnStart': true } });
const { page, workspace } = w;
const save = () => page.keyboard.press('Control+S');
const text = () => readFileSync(join(workspace, 'tiny.lora.yaml'), 'utf8');
const until = async (_what, get) => {
  for (let turn = 0; turn < 200; turn++) {
    if (await get()) return true;
    await page.waitForTimeout(100);
  }
  return false;
};
try {
  await w.open('tiny.lora.yaml');
  const form = await w.panel('main.lw .lw-verdict', 60_000);
  check(
    'the model is described',
    await until('facts', async () => /llama/.test(await form.locator('.cf-pick').innerText())),
  );
  await page.waitForTimeout(1500);
  await w.shot(shots, 'configure-dark');

  // Every change of the numbers on the rail is stamped inside the page.
  await form.evaluate(() => {
    const place = document.querySelector('.lw-verdict').parentElement;
    globalThis.drawn = [];
    new MutationObserver(() =>
      globalThis.drawn.push([performance.now(), place.querySelector('.sum .num')?.textContent]),
    ).observe(place, { childList: true, subtree: true });
  });
  const latencies = [];
  for (const value of ['8', '16', '12', '24']) {
    const field = form.locator('#f-per_device_train_batch_size');
    const before = await form.evaluate((next) => {
      const element = document.querySelector('#f-per_device_train_batch_size');
      globalThis.drawn.length = 0;
      const now = performance.now();
      element.value = next;
      element.dispatchEvent(new Event('change'));
      return now;
    }, value);
    void field;
    await until('forecast', () => form.evaluate(() => globalThis.drawn.length > 0));
    latencies.push((await form.evaluate(() => globalThis.drawn[0][0])) - before);
    await page.waitForTimeout(1200);
  }
  check(
    'the forecast follows a change',
    latencies.length === 4,
    `first drawn after ${latencies.map((ms) => ms.toFixed(0)).join(', ')} ms`,
  );
  await save();
  check(
    'the change stands in the text, the rest as it was',
    await until(
      'text',
      () => /per_device_train_batch_size: 24/.test(text()) && /learning_rate: 5\.0e-3/.test(text()),
    ),
  );
  await form.locator('h1').click();
  await page.keyboard.press('Control+Z');
  await save();
  check(
    'undo takes it back',
    await until('undo', () => /per_device_train_batch_size: 12/.test(text())),
    text().match(/per_device_train_batch_size: \d+/)?.[0],
  );

  const cell = form.locator('[data-at="0,0"]');
  await cell.click();
  await save();
  check(
    'a module is taken out on the map',
    await until('cell', () => /exclude_modules: \[?.*q_proj/.test(text())),
  );
  await cell.click();
  await save();
  check('and put in again', await until('cell', () => !/exclude_modules/.test(text())));

  const found = await axe(form);
  check('axe finds nothing serious', found.length === 0, found.join('\n'));
  for (const theme of ['light', 'hc']) {
    await w.theme(theme);
    await w.shot(shots, `configure-${theme}`);
    const more = await axe(form);
    check(`axe finds nothing serious (${theme})`, more.length === 0, more.join('\n'));
  }
  await w.theme('light');
  await page.setViewportSize({ width: 900, height: 1000 });
  await page.waitForTimeout(800);
  await w.shot(shots, 'configure-narrow');
  await page.setViewportSize({ width: 1440, height: 900 });
  await form.locator('.cf-map').scrollIntoViewIfNeeded();
  await page.waitForTimeout(300);
  await w.shot(shots, 'configure-map-light');
  await w.theme('dark');

  await w.open('mistakes.lora.yaml');
  const broken = await w.panel('main.lw .lw-problems li.error', 30_000);
  await page.waitForTimeout(800);
  await w.shot(shots, 'configure-problems-dark');
  const buttons = await broken.locator('.lw-problems .fix button').allInnerTexts();
  check('problems come with remedies', buttons.includes('Rename to learning_rate'), buttons.join(' | '));

  await w.open('tiny.lora.yaml');
  const again = await w.panel('main.lw .lw-verdict', 30_000);
  await again.locator('#f-r').click();
  await page.keyboard.press('Control+Enter');
  const run = await w.panel('main.lw .rn-stats', 60_000);
  check(
    'Ctrl+Enter starts a run, and its page opens',
    await until('finished', async () =>
      /Finished/.test(
        await run
          .locator('.rn-head')
          .innerText()
          .catch(() => ''),
      ),
    ),
  );
  await page.waitForTimeout(800);
  await w.shot(shots, 'run-finished-dark');
  check('no console error', w.ourErrors().length === 0, w.ourErrors().join('\n'));
  check('nothing asked outside', w.outside().length === 0, w.outside().join('\n'));
} catch (error) {
  failures.push(String(error));
  console.error(error);
  await w.shot(shots, 'configure-failed').catch(() => {});
} finally {
  await w.close();
}
console.log(`\nConfigure: ${passed} passed, ${failures.length} failed`);
process.exit(failures.length > 0 ? 1 : 0);
