// The playground in the real workbench: a model is loaded once, both sides write, keys swap adapters, Stop stops.
import assert from 'node:assert/strict';
import { axe } from './workbench.mjs';

export async function checkPlayground(bench, out) {
  const { page } = bench;
  const figures = {};
  const shot = async (name) => out && bench.shot(out, name);
  await bench.command('LoRA Workbench: Try Adapter');
  await page.locator('.quick-input-list .monaco-list-row', { hasText: 'fits-a' }).first().click();
  const frame = await bench.panel('.pg-prompt textarea');
  await frame.locator('textarea').fill('Say 4: ');
  await frame.locator('#max_new_tokens').evaluate((field) => {
    field.value = '40';
  });
  await page.keyboard.press('Control+Enter');
  const done = () =>
    frame.waitForFunction(() => document.querySelectorAll('.pg-end').length === 2, undefined, {
      timeout: 60_000,
    });
  await done();
  assert.ok((await frame.locator('.pg-pane').nth(0).locator('.pk').count()) > 3);
  const first = await frame.locator('.pg-out').nth(1).innerText();
  const base = await frame.locator('.pg-out').nth(0).innerText();
  await frame.locator('.pg-pane').nth(1).locator('.pk').nth(2).hover();
  await frame.waitForSelector('.pg-alt');
  for (const theme of ['light', 'hc', 'dark']) {
    await bench.theme(theme);
    await shot(`playground-${theme}`);
    assert.deepEqual(await axe(frame), [], `axe, ${theme}`);
  }
  await page.setViewportSize({ width: 900, height: 900 });
  await page.waitForTimeout(400);
  await shot('playground-900');
  await page.setViewportSize({ width: 1440, height: 900 });
  await frame.locator('.pg-list [aria-checked="true"]').focus();
  const started = Date.now();
  const other = frame.locator('.pg-list li', { hasText: 'fits-b' });
  await page.keyboard.press(await other.locator('kbd').innerText());
  assert.equal(await other.getAttribute('aria-checked'), 'true');
  await frame.waitForFunction(
    (before) =>
      document.querySelectorAll('.pg-end').length === 2 &&
      document.querySelectorAll('.pg-out')[1].innerText !== before,
    first,
    { timeout: 60_000 },
  );
  figures['playground: another adapter, 40 tokens, ms from the key'] = Date.now() - started;
  assert.equal(await frame.locator('.pg-out').nth(0).innerText(), base);
  assert.match(await frame.locator('.pg-memory').innerText(), /loaded once/);
  await shot('playground-swapped');
  return figures;
}
