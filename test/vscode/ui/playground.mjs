// The playground: a model is loaded once, both sides write, keys swap adapters, Stop stops, a trainer that dies can be had again.
import { tabThrough } from './keyboard.mjs';
import { until } from './workbench.mjs';

export async function checkPlayground(bench, t) {
  const { page } = bench;
  await bench.command('LoRA Workbench: Try Adapter');
  await bench.pick('fits-a');
  const frame = await bench.panel('.pg-prompt textarea');
  await until('the list of adapters', async () =>
    (await frame.locator('.pg-list [aria-checked="true"]').innerText()).includes('fits-a'),
  );
  t.none('empty playground: pictures, axe', await bench.surface('playground-empty', frame, { state: true }));
  t.check(
    'the prompt has the focus',
    await frame.evaluate(() => document.activeElement?.matches('textarea') ?? false),
  );
  await frame.locator('textarea').focus();
  await page.keyboard.type('Say 4: ');
  await frame.locator('#max_new_tokens').evaluate((field) => {
    field.value = '40';
  });
  await page.keyboard.press('Control+Enter');
  const done = () =>
    frame.waitForFunction(() => document.querySelectorAll('.pg-end').length === 2, undefined, {
      timeout: 60_000,
    });
  await done();
  t.check('both write', (await frame.locator('.pg-pane').nth(0).locator('.pk').count()) > 3);
  const first = await frame.locator('.pg-out').nth(1).innerText();
  const base = await frame.locator('.pg-out').nth(0).innerText();
  await frame.locator('.pg-pane').nth(1).locator('.pk').first().focus();
  await page.keyboard.press('ArrowRight');
  await frame.waitForSelector('.pg-alt');
  t.check('alternatives of a token by key', true);
  t.none('playground: pictures, axe', await bench.surface('playground', frame));
  await frame.locator('.pg-pane').nth(1).locator('.pk[tabindex="0"]').focus();
  await frame.waitForSelector('.pg-alt');
  await page.keyboard.press('Escape');
  t.check('Escape closes them', (await frame.locator('.pg-alt').count()) === 0);
  const walk = await tabThrough(bench, frame);
  t.none(`Tab reaches every control of the playground, ${walk.stops} stops`, walk.problems);

  await frame.locator('.pg-list [aria-checked="true"]').focus();
  const started = Date.now();
  const other = frame.locator('.pg-list li', { hasText: 'fits-b' });
  await page.keyboard.press(await other.locator('kbd').innerText());
  t.check('a number swaps the adapter', (await other.getAttribute('aria-checked')) === 'true');
  await frame.waitForFunction(
    (before) =>
      document.querySelectorAll('.pg-end').length === 2 &&
      document.querySelectorAll('.pg-out')[1].innerText !== before,
    first,
    { timeout: 60_000 },
  );
  t.note('another adapter, 40 tokens after', `${Date.now() - started} ms`);
  t.check('the base stands as it was', (await frame.locator('.pg-out').nth(0).innerText()) === base);
  t.check('the base is loaded once', /loaded once/.test(await frame.locator('.pg-memory').innerText()));

  // Stop by key in the middle of a long text.
  await frame.locator('#max_new_tokens').evaluate((field) => {
    field.value = '200';
  });
  await frame.locator('textarea').fill('Say 9: ');
  await frame.locator('textarea').focus();
  await page.keyboard.press('Control+Enter');
  await frame.waitForFunction(() => document.querySelectorAll('.pg-pane:first-child .pk').length > 2);
  await page.keyboard.press('Escape');
  await until(
    'it stops',
    async () =>
      (await frame.locator('.pg-prompt vscode-button[disabled]', { hasText: 'Stop' }).count()) === 1,
  );
  t.check(
    'Escape stops what is being written',
    /stopped|length reached|end of text/.test(await frame.locator('.pg-out').nth(0).innerText()),
  );

  // The trainer dies between two prompts, as where memory runs out.
  const trainers = bench.processes('trainer.js').filter(({ command }) => !command.includes('--detached'));
  t.check('one process holds the model', trainers.length === 1, `${trainers.length}`);
  const text = await frame.locator('.pg-out').nth(0).innerText();
  for (const { pid } of trainers) process.kill(pid, 'SIGKILL');
  await until(
    'the process is gone',
    () => bench.processes('trainer.js').filter(({ command }) => !command.includes('--detached')).length === 0,
  );
  await frame.locator('.pg-memory .link', { hasText: 'again' }).waitFor();
  t.check(
    'a trainer that died is told, and the text stays',
    (await frame.locator('.pg-out').nth(0).innerText()) === text,
  );
  t.none(
    'disconnected playground: pictures, axe',
    await bench.surface('playground-disconnected', frame, { state: true }),
  );
  await frame.locator('.pg-memory .link').click();
  await done();
  t.check(
    'and the model can be had again',
    /loaded once/.test(await frame.locator('.pg-memory').innerText()),
  );
}
