// The adapter page in the real workbench: opens, fills in, answers the keyboard; large and broken files.
import assert from 'node:assert/strict';
import { axe } from './workbench.mjs';

/** @param out folder for pictures; undefined for none. */
export async function checkAdapter(bench, out) {
  const { page } = bench;
  const figures = {};
  const shot = async (name) => out && bench.shot(out, name);

  await bench.open('adapters/learned/adapter_model.safetensors');
  let frame = await bench.panel('.ad-heat');
  await frame.waitForFunction(() => document.querySelector('.ad-heat [role="gridcell"].q4') !== null);
  await frame.waitForFunction(() =>
    /%/.test(document.querySelector('.ad-view [aria-checked="true"]')?.textContent ?? ''),
  );
  assert.equal(await frame.locator('.ad-heat [role="gridcell"]').count(), 112);
  assert.match(await frame.locator('.ad-sum').innerText(), /112 of 112 modules changed/);
  assert.equal(await frame.locator('.bc-bar').count(), 16);
  await frame.locator('.ad-heat [aria-selected="true"]').focus();
  const before = await frame.locator('.ad-module').innerText();
  await page.keyboard.press('ArrowLeft');
  assert.notEqual(await frame.locator('.ad-module').innerText(), before);
  await page.keyboard.press('ArrowRight');
  assert.equal(await frame.locator('.ad-module').innerText(), before);
  for (const theme of ['light', 'hc', 'dark']) {
    await bench.theme(theme);
    await shot(`adapter-${theme}`);
    const found = await axe(frame);
    assert.deepEqual(found, [], `axe, ${theme}`);
  }
  await page.setViewportSize({ width: 900, height: 900 });
  await page.waitForTimeout(400);
  await shot('adapter-900');
  await page.setViewportSize({ width: 1440, height: 900 });

  await bench.open('adapters/sick/adapter_model.safetensors');
  frame = await bench.panel('.lw-page:has-text("adapters/sick") .ad-broken:not([hidden]) li');
  await page.waitForTimeout(800);
  assert.match(await frame.locator('.ad-broken').innerText(), /not|no finite/);
  await shot('adapter-sick');

  await bench.open('adapters/torn/adapter_model.safetensors');
  frame = await bench.panel('.lw-page:has-text("adapters/torn") .ad-broken:not([hidden]) li');
  await shot('adapter-torn');

  const started = Date.now();
  await bench.open('adapters/seven-b/adapter_model.safetensors');
  frame = await bench.panel('.lw-page:has-text("adapters/seven-b") .ad-heat');
  await frame.waitForFunction(() => document.querySelectorAll('.ad-heat [role="gridcell"]').length === 224);
  figures['adapter of 160 MB: page with header facts, ms from the choice'] = Date.now() - started;
  await shot('adapter-loading');
  await frame.waitForFunction(() => document.querySelectorAll('.ad-heat .waiting').length === 0, undefined, {
    timeout: 60_000,
  });
  figures['adapter of 160 MB: all modules, ms from the choice'] = Date.now() - started;
  await shot('adapter-large');
  return figures;
}
