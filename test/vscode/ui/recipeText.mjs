// A recipe in the text editor: completion, hover, diagnostics, the code lens; and the same recipe as JSON.
import { until } from './workbench.mjs';

export async function checkRecipeText(bench, t) {
  const { page } = bench;
  await bench.show('broken/mistakes.lora.yaml');
  await page.locator('.monaco-editor .view-line', { hasText: 'lerning_rate' }).first().waitFor();
  const found = await until('mistakes become diagnostics', async () => {
    const list = await bench.ask('diagnostics', { path: `${bench.workspace}/broken/mistakes.lora.yaml` });
    return list.length >= 3 && list;
  });
  t.check(
    'every mistake is marked where it stands',
    found.some(({ line }) => line === 3),
    found.map(({ message }) => message.split('\n')[0]).join(' | '),
  );
  await page.locator('.codelens-decoration a', { hasText: 'Run' }).first().waitFor();
  t.check(
    'Run · Estimate · Open form stand above it',
    /Estimate/.test(await page.locator('.codelens-decoration').first().innerText()),
  );

  await page.locator('.monaco-editor .view-line', { hasText: 'lorra' }).first().click();
  await page.keyboard.press('Control+End');
  await page.keyboard.type('lr_scheduler_type: ');
  await page.keyboard.press('Control+Space');
  const suggestions = page.locator('.suggest-widget.visible .monaco-list-row');
  await suggestions.nth(2).waitFor();
  const words = await suggestions.allInnerTexts();
  t.check(
    'values are completed',
    words.length > 2,
    words
      .slice(0, 5)
      .map((one) => one.split('\n')[0])
      .join(', '),
  );
  t.none('recipe text: pictures', await bench.surface('recipe-text'));
  await page.keyboard.press('Escape');
  await bench.clear();

  await bench.show('other.lora.json');
  await page.locator('.monaco-editor .view-line', { hasText: 'models/tiny' }).first().waitFor();
  await page.locator('.codelens-decoration a', { hasText: 'Open form' }).first().click();
  const form = await bench.panel('main.lw .lw-verdict');
  t.check('a JSON recipe opens as a form from its lens', /other/.test(await form.locator('h1').innerText()));
}
