// The page of a dataset in the real workbench: rows as tokens, settings, problems, a remedy into the recipe, a large file.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { axe } from './workbench.mjs';

export async function checkLens(bench, out) {
  const { page } = bench;
  const figures = {};
  const shot = async (name) => out && bench.shot(out, name);
  const openLens = async (name) => {
    await bench.command('LoRA Workbench: Open Dataset as the Model Sees It');
    const choice = page.locator('.quick-input-list .monaco-list-row', { hasText: name }).first();
    await choice.waitFor();
    await page.waitForTimeout(300);
    await choice.click();
  };

  await openLens('chat.jsonl');
  let frame = await bench.panel('.ln-bar:has-text("chat.jsonl") ~ .ln-two .tk.trained');
  await frame.waitForFunction(() => document.querySelectorAll('.lw-problems li').length >= 4);
  const problems = await frame.locator('.lw-problems').innerText();
  assert.match(problems, /lose/);
  assert.match(problems, /roles/);
  assert.match(problems, /cannot be used/);
  assert.match(problems, /both training and evaluation/);
  await frame.waitForSelector('.tk.eos.trained');
  await page.keyboard.press('Escape');
  await frame.locator('.ln-toks .tk').first().focus();
  await page.keyboard.press('F8');
  await frame.waitForFunction(() => document.querySelector('#row').value === '4');
  await frame.waitForTimeout(300);
  await frame.locator('[data-row="3"] .tk.trained').nth(6).hover();
  for (const theme of ['light', 'hc', 'dark']) {
    await bench.theme(theme);
    await shot(`lens-${theme}`);
    assert.deepEqual(await axe(frame), [], `axe, ${theme}`);
  }
  await page.setViewportSize({ width: 900, height: 900 });
  await page.waitForTimeout(400);
  await shot('lens-900');
  await page.setViewportSize({ width: 1440, height: 900 });

  await frame.locator('.lw-problems .link', { hasText: 'Drop them' }).first().click();
  await frame.waitForFunction(() => !/lose/.test(document.querySelector('.lw-problems').textContent));
  await page.waitForTimeout(800);
  const recipe = readFileSync(join(bench.workspace, 'chat.lora.yaml'), 'utf8');
  assert.match(recipe, /^truncation: drop$/m);
  assert.match(recipe, /^# Kept as it is\.$/m);
  assert.match(recipe, /max_length: 128 {2}# tokens/);

  await openLens('many.jsonl');
  const chosen = Date.now();
  frame = await bench.panel('.ln-bar:has-text("many.jsonl") ~ .ln-two .tk');
  await frame.waitForFunction(() =>
    /100,000/.test(document.querySelector('.ln-step .muted')?.textContent ?? ''),
  );
  figures['100,000 rows: rows as tokens and their count, ms after the choice'] = Date.now() - chosen;
  await shot('lens-many');
  const jump = Date.now();
  await frame.locator('#row').evaluate((field) => {
    field.value = '99999';
    field.dispatchEvent(new Event('change'));
  });
  await frame.waitForSelector('[data-row="99998"] .tk');
  figures['100,000 rows: to the end while it scans, ms'] = Date.now() - jump;
  return figures;
}
