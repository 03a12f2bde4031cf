// The form of a recipe: filled in by hand and by key, undone, changed as text and on disk, in YAML and JSON, with mistakes and
// without room.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tabThrough } from './keyboard.mjs';
import { selectText, until } from './workbench.mjs';

export async function checkConfigure(bench, t) {
  const { page, workspace } = bench;
  const read = (name) => readFileSync(join(workspace, name), 'utf8');
  const saved = async (name, pattern) => {
    await bench.run('workbench.action.files.save');
    await until(`${name} holds ${pattern}`, () => pattern.test(read(name)));
    return true;
  };
  await bench.open('tiny.lora.yaml');
  const form = await bench.panel('main.lw .lw-verdict', 60_000);
  await until('the model is described', async () => /llama/.test(await form.locator('.cf-pick').innerText()));
  await until('the rows are counted', async () => /rows/.test(await form.locator('.cf-pick').innerText()));
  await until('the forecast is exact', async () =>
    /compiled and planned/.test(await form.locator('.lw-parts').innerText()),
  );
  t.none('configure: pictures, axe', await bench.surface('configure', form));
  await form.locator('.cf-map').scrollIntoViewIfNeeded();
  await bench.dress('light');
  await bench.shot('configure-map-light', form);
  await bench.dress('hc');
  await bench.shot('configure-map-hc', form);
  await bench.dress('dark');

  const walk = await tabThrough(bench, form);
  t.none(`Tab reaches every control of the form, ${walk.stops} stops`, walk.problems);

  // Every change of the numbers on the rail is stamped inside the page.
  await form.evaluate(() => {
    const place = document.querySelector('.lw-verdict').parentElement;
    globalThis.drawn = [];
    new MutationObserver(() => globalThis.drawn.push(performance.now())).observe(place, {
      childList: true,
      subtree: true,
    });
  });
  const latencies = [];
  for (const value of ['8', '16', '12', '24']) {
    const before = await form.evaluate((next) => {
      const element = document.querySelector('#f-per_device_train_batch_size');
      globalThis.drawn.length = 0;
      const now = performance.now();
      element.value = next;
      element.dispatchEvent(new Event('change'));
      return now;
    }, value);
    await until('the forecast follows', () => form.evaluate(() => globalThis.drawn.length > 0));
    latencies.push((await form.evaluate(() => globalThis.drawn[0])) - before);
    await until('the forecast is exact', async () =>
      /compiled and planned/.test(await form.locator('.lw-parts').innerText()),
    );
  }
  t.note('forecast drawn after', `${latencies.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  t.check(
    'a change stands in the text, the rest as it was',
    (await saved('tiny.lora.yaml', /per_device_train_batch_size: 24/)) &&
      /learning_rate: 5\.0e-3/.test(read('tiny.lora.yaml')),
  );
  await form.locator('h1').click();
  await page.keyboard.press('Control+Z');
  t.check('undo takes it back', await saved('tiny.lora.yaml', /per_device_train_batch_size: 12/));

  // By key: a number, a choice from a list, a chip, a cell of the map.
  await form.locator('#f-r').focus();
  await selectText(page);
  await page.keyboard.type('6');
  await page.keyboard.press('Tab');
  t.check('a number is typed', await saved('tiny.lora.yaml', /^r: 6$/m));
  await form.locator('#f-lr_scheduler_type').focus();
  const before = await form.locator('#f-lr_scheduler_type').evaluate((one) => one.value);
  await page.keyboard.press('ArrowDown');
  await until(
    'the list moves on by key',
    async () => (await form.locator('#f-lr_scheduler_type').evaluate((one) => one.value)) !== before,
  );
  t.check('a list is answered by key', await saved('tiny.lora.yaml', /^lr_scheduler_type: /m));
  await form.locator('.cf-groups [tabindex="0"]').focus();
  const chip = () => form.evaluate(() => document.activeElement.dataset.preset);
  const first = await chip();
  await page.keyboard.press('ArrowRight');
  const second = await chip();
  t.check(
    'arrows walk over the presets and choose none',
    first !== second && !/^preset:/m.test(read('tiny.lora.yaml')),
    `${first} → ${second}`,
  );
  const cell = form.locator('[data-at="0,0"]');
  await cell.focus();
  await page.keyboard.press('Space');
  t.check(
    'Space takes a module out on the map',
    await saved('tiny.lora.yaml', /exclude_modules: \[?.*q_proj/),
  );
  await form.locator('.cf-map [tabindex="0"]').focus();
  await page.keyboard.press('Space');
  await bench.run('workbench.action.files.save');
  await until('and puts it in again', () => !/exclude_modules/.test(read('tiny.lora.yaml')));
  await page.keyboard.press('ArrowRight');
  t.check(
    'arrows walk over the map',
    (await form.evaluate(() => document.activeElement.dataset.at)) === '0,1',
  );

  // The text is the truth: on disk, and in a text editor beside.
  writeFileSync(join(workspace, 'tiny.lora.yaml'), read('tiny.lora.yaml').replace(/^r: 6$/m, 'r: 3'));
  await until(
    'a change on disk reaches the form',
    async () => (await form.locator('#f-r').evaluate((one) => one.value)) === '3',
  );
  t.check('a change on disk reaches the form', true);
  await form.locator('vscode-button', { hasText: 'Open as text' }).click();
  const line = page.locator('.monaco-editor .view-line', { hasText: /^r:\s3$/ }).first();
  await line.waitFor();
  await line.click();
  await page.keyboard.press('End');
  await page.keyboard.press('Backspace');
  await page.keyboard.type('5');
  await bench.show('tiny.lora.yaml', 'loraWorkbench.configure');
  const again = await bench.panel('main.lw .lw-verdict');
  await until(
    'a change of the text reaches the form',
    async () => (await again.locator('#f-r').evaluate((one) => one.value)) === '5',
  );
  t.check(
    'a change of the text reaches the form before it is saved',
    !/^r: 5$/m.test(read('tiny.lora.yaml')),
  );
  await bench.clear();

  await bench.show('other.lora.json', 'loraWorkbench.configure');
  const json = await bench.panel('main.lw .lw-verdict');
  await json.locator('#f-r').focus();
  await selectText(page);
  await page.keyboard.type('9');
  await page.keyboard.press('Tab');
  await saved('other.lora.json', /"r": ?9/);
  t.check(
    'the form writes a JSON recipe',
    JSON.parse(read('other.lora.json')).r === 9 &&
      JSON.parse(read('other.lora.json')).model === 'models/tiny',
  );
  await bench.clear();

  await bench.show('broken/mistakes.lora.yaml', 'loraWorkbench.configure');
  const broken = await bench.panel('main.lw .lw-problems li.error');
  const buttons = await broken.locator('.lw-problems .fix button').allInnerTexts();
  t.check('problems come with remedies', buttons.includes('Rename to learning_rate'), buttons.join(' | '));
  t.check(
    'the words of a mistake stay in their column',
    await broken.evaluate(() => {
      const group = (one) => one.closest('.group').getBoundingClientRect();
      return [...document.querySelectorAll('.lw-prop.bad > *')].every(
        (one) => one.getBoundingClientRect().right <= group(one).right + 1,
      );
    }),
  );
  t.none(
    'configure with problems: pictures, axe',
    await bench.surface('configure-problems', broken, { state: true }),
  );
  await broken.locator('h1').click();
  await page.keyboard.press('F8');
  const at = () => broken.evaluate(() => document.activeElement.dataset.at);
  const one = await at();
  await page.keyboard.press('F8');
  t.check(
    'F8 goes from problem to problem',
    one !== undefined && (await at()) !== one,
    `${one} → ${await at()}`,
  );
  await bench.clear();

  await bench.show('large.lora.yaml', 'loraWorkbench.configure');
  const large = await bench.panel('main.lw .lw-verdict');
  await until('the verdict', async () =>
    /Over by/.test(await large.locator('.lw-verdict').first().innerText()),
  );
  t.check(
    'a run without room says by how much',
    true,
    (await large.locator('.lw-verdict').first().innerText()).replaceAll('\n', ' '),
  );
  t.check(
    'Start is off, with a way past it',
    (await large.locator('.cf-start vscode-button').getAttribute('disabled')) !== null &&
      (await large.locator('.cf-start').innerText()).includes('Start anyway'),
  );
  const offer = large.locator('.cf-suggest .lw-do').first();
  await offer.waitFor({ timeout: 60_000 });
  t.none('configure without room: pictures, axe', await bench.surface('configure-over', large));
  const offered = (await offer.innerText()).replaceAll('\n', ' ');
  await offer.focus();
  await page.keyboard.press('Enter');
  await until('the change is taken', () =>
    bench.ask('tabs').then((tabs) => tabs.some(({ isDirty }) => isDirty)),
  );
  t.check('a change that fits is one key away', true, offered);
}
