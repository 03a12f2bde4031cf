// The whole way, as a person goes it: a new recipe by the palette, filled in and started by key, watched, its adapter
// inspected and tried.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { selectText, until } from './workbench.mjs';

export async function checkJourney(bench, t) {
  const { page, workspace } = bench;
  await bench.command('LoRA Workbench: New Fine-Tune…');
  const form = await bench.panel('main.lw .cf-pick');
  const file = join(workspace, 'fine-tune.lora.yaml');
  await until('the recipe is there', () => existsSync(file));
  t.none('new recipe: pictures, axe', await bench.surface('configure-new', form, { state: true }));
  /** Chooses from a list by key: opens it, types the beginning, takes it. */
  const choose = async (id, text) => {
    const list = form.locator(id);
    await until(`${id} offers ${text}`, () =>
      list.evaluate(
        (one, wanted) => [...one.options].some(({ text: shown }) => shown.includes(wanted)),
        text,
      ),
    );
    await list.focus();
    await page.keyboard.press('Enter');
    for (let turn = 0; turn < 40; turn++) {
      const at = await list.evaluate((one) => one.options[one.selectedIndex]?.text ?? '');
      if (at.includes(text)) break;
      await page.keyboard.press('ArrowDown');
    }
    await page.keyboard.press('Enter');
  };
  await choose('#f-model', 'tiny');
  // Before there is a dataset.
  await until('the model is described', async () => /llama/.test(await form.locator('.cf-pick').innerText()));
  await choose('#f-dataset', 'train.jsonl');
  await until('the rows are counted', async () => /rows/.test(await form.locator('.cf-pick').innerText()));
  const type = async (key, text) => {
    const field = form.locator(`#f-${key}`);
    if (!(await field.isVisible())) {
      await form.locator('summary', { hasText: 'Advanced' }).focus();
      await page.keyboard.press('Enter');
    }
    await field.focus();
    await selectText(page);
    await page.keyboard.type(text);
    await page.keyboard.press('Tab');
  };
  await type('max_steps', '300');
  await type('learning_rate', '5e-3');
  await type('max_length', '64');
  await type('per_device_train_batch_size', '4');
  await type('gradient_accumulation_steps', '1');
  await until('the forecast', () => form.locator('.lw-verdict').first().isVisible());
  t.check('the form is filled in by key', true);
  await page.keyboard.press('Control+Enter');
  const run = await bench.panel('main.lw .rn-stats', 60_000);
  const losses = new Set();
  await until(
    'it finishes',
    async () => {
      losses.add(await run.locator('.rn-stats dd').first().innerText());
      return /Finished/.test(await run.locator('.rn-head').innerText());
    },
    90_000,
  );
  const text = readFileSync(file, 'utf8');
  t.check(
    'what was typed stands in the recipe',
    /max_steps: 300/.test(text) && /models\/tiny/.test(text),
    text.replaceAll('\n', ' / '),
  );
  t.check('the loss moves on the screen', losses.size >= 3, [...losses].slice(0, 6).join(' → '));
  t.none('finished run: pictures, axe', await bench.surface('run-finished', run, { state: true }));

  await run.locator('.rn-head vscode-button', { hasText: 'Inspect adapter' }).focus();
  await page.keyboard.press('Enter');
  const adapter = await bench.panel('.ad-heat');
  await adapter.waitForFunction(() => document.querySelector('.ad-heat [role="gridcell"].q4') !== null);
  const facts = await until('the adapter is read', async () => {
    const words = await adapter.locator('.ad-sum').innerText();
    return /modules changed/.test(words) && words;
  });
  t.check('the adapter that came out is inspected', /finite/.test(facts), facts.replaceAll('\n', ' '));
  await adapter.locator('vscode-button', { hasText: 'Try' }).first().focus();
  await page.keyboard.press('Enter');
  const playground = await bench.panel('.pg-prompt textarea');
  await playground.locator('textarea').fill('Say 7: ');
  await playground.locator('#max_new_tokens').evaluate((field) => {
    field.value = '24';
  });
  await playground.locator('textarea').focus();
  await page.keyboard.press('Control+Enter');
  await playground.waitForFunction(() => document.querySelectorAll('.pg-end').length === 2, undefined, {
    timeout: 60_000,
  });
  const [base, tuned] = await playground.locator('.pg-out').allInnerTexts();
  t.check(
    'the adapter says something else than its base',
    base !== tuned && /number|square/.test(tuned),
    tuned.slice(0, 60),
  );
  await bench.shot('journey-end-dark', playground);
}
