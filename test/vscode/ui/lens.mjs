// The page of a dataset: rows as tokens, settings, problems, a remedy into the recipe; CSV, JSON and Parquet; a large file.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tabThrough } from './keyboard.mjs';
import { until } from './workbench.mjs';

export async function checkLens(bench, t) {
  const { page, workspace } = bench;
  const show = (name) => bench.show(`data/${name}`, 'loraWorkbench.lens');
  await bench.command('LoRA Workbench: Open Dataset as the Model Sees It');
  await bench.pick('chat.jsonl');
  let frame = await bench.panel('.ln-bar:has-text("chat.jsonl") ~ .ln-two .tk.trained');
  await frame.waitForFunction(() => document.querySelectorAll('.lw-problems li').length >= 4);
  const problems = await frame.locator('.lw-problems').innerText();
  for (const word of [/lose/, /roles/, /cannot be used/, /both training and evaluation/])
    t.check(`it finds: ${word.source}`, word.test(problems));
  await frame.waitForSelector('.tk.eos.trained');
  await until(
    'all rows are read',
    async () => (await frame.locator('.ln-hist vscode-progress-ring').count()) === 0,
  );
  await frame.locator('.ln-toks .tk').first().focus();
  await page.keyboard.press('F8');
  await frame.waitForFunction(() => document.querySelector('#row').value === '4');
  t.check('F8 goes to the next problem', true);
  await frame.locator('[data-row="3"] .tk.trained').nth(6).focus();
  await frame.locator('.lw-hover').waitFor();
  t.check('a token tells what it is when it has the focus', true);
  t.none('lens: pictures, axe', await bench.surface('lens', frame));
  await frame.locator('[data-row="3"] .tk.trained').nth(6).focus();
  await page.keyboard.press('Escape');
  t.check('Escape closes it', (await frame.locator('.lw-hover').count()) === 0);
  const walk = await tabThrough(bench, frame, 600);
  t.none(`Tab reaches every control of the lens, ${walk.stops} stops`, walk.problems);

  await frame.locator('.lw-problems .link', { hasText: 'Drop them' }).first().focus();
  await page.keyboard.press('Enter');
  await frame.waitForFunction(() => !/lose/.test(document.querySelector('.lw-problems').textContent));
  const recipe = await until('the remedy is in the recipe', () => {
    const text = readFileSync(join(workspace, 'chat.lora.yaml'), 'utf8');
    return /^truncation: drop$/m.test(text) && text;
  });
  t.check(
    'a remedy is written into the recipe, the rest stays',
    /^# Kept as it is\.$/m.test(recipe) && /max_length: 128 {2}# tokens/.test(recipe),
  );
  await bench.clear();

  for (const [name, words] of [
    ['pairs.csv', /square/],
    ['pairs.json', /square/],
    ['nested.parquet', /question/],
  ]) {
    await show(name);
    frame = await bench.panel(`.ln-bar:has-text("${name}") ~ .ln-two .tk`);
    const text = await until(`${name} as tokens`, async () => {
      const all = await frame.locator('.ln-two').first().innerText();
      return words.test(all.replaceAll(/\s/g, '')) && all;
    });
    const total = await until(`rows of ${name} are counted`, async () =>
      /of (10|24)$/.exec((await frame.locator('.ln-step .muted').innerText()).trim()),
    );
    t.check(`${name} opens as tokens`, text !== '', total[0]);
    await bench.shot(`lens-${name.split('.').at(-1)}-dark`, frame);
    await bench.clear();
  }

  const chosen = Date.now();
  await show('many.jsonl');
  frame = await bench.panel('.ln-bar:has-text("many.jsonl") ~ .ln-two .tk');
  await frame.waitForFunction(() =>
    /100,000/.test(document.querySelector('.ln-step .muted')?.textContent ?? ''),
  );
  t.note('100,000 rows: first rows and their number after', `${Date.now() - chosen} ms`);
  const jump = Date.now();
  await frame.locator('#row').evaluate((field) => {
    field.value = '99999';
    field.dispatchEvent(new Event('change'));
  });
  await frame.waitForSelector('[data-row="99998"] .tk');
  t.check('100,000 rows: the end is one number away', true);
  t.note('to the end while it reads', `${Date.now() - jump} ms`);
  await bench.shot('lens-many-dark', frame);
}
