// The page of an adapter: fills in, answers the keyboard; large, sick and torn files.
import { tabThrough } from './keyboard.mjs';
import { until } from './workbench.mjs';

export async function checkAdapter(bench, t) {
  const { page } = bench;
  const show = (name) => bench.show(`adapters/${name}/adapter_model.safetensors`, 'loraWorkbench.adapter');

  await bench.open('adapters/learned/adapter_model.safetensors');
  await show('learned');
  const frame = await bench.panel('.ad-heat');
  await frame.waitForFunction(() => document.querySelector('.ad-heat [role="gridcell"].q4') !== null);
  await frame.waitForFunction(() =>
    /%/.test(document.querySelector('.ad-view [aria-checked="true"]')?.textContent ?? ''),
  );
  t.check('every module has a cell', (await frame.locator('.ad-heat [role="gridcell"]').count()) === 112);
  t.check('health', /112 of 112 modules changed/.test(await frame.locator('.ad-sum').innerText()));
  t.check('singular values', (await frame.locator('.bc-bar').count()) === 16);
  t.none('adapter: pictures, axe', await bench.surface('adapter', frame));

  const walk = await tabThrough(bench, frame);
  t.none(`Tab reaches every control of an adapter, ${walk.stops} stops`, walk.problems);
  await frame.locator('.ad-heat [aria-selected="true"]').focus();
  const module = () => frame.locator('.ad-module').innerText();
  const before = await module();
  await page.keyboard.press('ArrowLeft');
  const left = await module();
  await page.keyboard.press('ArrowRight');
  t.check('arrows walk over the heat map', left !== before && (await module()) === before);
  await frame.locator('.ad-view [aria-checked="true"]').focus();
  await page.keyboard.press('ArrowRight');
  await until('another view by arrow', async () =>
    /ΔW/.test(await frame.locator('.ad-view [aria-checked="true"]').innerText()),
  );
  t.check('arrows choose what the map shows', true);
  const filter = frame.locator('.ad-tensors vscode-text-field');
  await filter.locator('input').fill('');
  await filter.focus();
  await page.keyboard.type('layers.3 down lora_B');
  await until('the filter', async () =>
    /^1 of 224/.test((await frame.locator('.ad-tensors .aside').innerText()).trim()),
  );
  t.check('tensors are filtered by words', true);
  await bench.clear();

  await show('sick');
  const sick = await bench.panel('.lw-page:has-text("adapters/sick") .ad-broken:not([hidden]) li');
  t.check(
    'values that are not finite are named',
    /not|no finite/.test(await sick.locator('.ad-broken').innerText()),
  );
  await until('modules that never moved', async () =>
    /never moved|not finite/.test(await sick.locator('.ad-sum').innerText()),
  );
  await sick.waitForFunction(() => document.querySelectorAll('.ad-heat .waiting').length === 0);
  t.none('sick adapter: pictures, axe', await bench.surface('adapter-sick', sick, { state: true }));
  await bench.clear();

  await show('torn');
  const torn = await bench.panel('.lw-page:has-text("adapters/torn") .ad-broken:not([hidden]) li');
  const told = await torn.locator('.lw-page').innerText();
  t.check(
    'a torn file says what is wrong, by its path in the workspace, and counts nothing',
    told.includes('adapters/torn/adapter_model.safetensors') &&
      !told.includes(bench.workspace) &&
      !told.includes('Parameters'),
  );
  t.none('torn adapter: pictures, axe', await bench.surface('adapter-torn', torn, { state: true }));
  await bench.clear();

  const started = Date.now();
  await show('seven-b');
  const large = await bench.panel('.lw-page:has-text("adapters/seven-b") .ad-heat');
  await large.waitForFunction(() => document.querySelectorAll('.ad-heat [role="gridcell"]').length === 224);
  t.note('160 MB: page with the facts of its head after', `${Date.now() - started} ms`);
  await bench.shot('adapter-loading-dark', large);
  await large.waitForFunction(() => document.querySelectorAll('.ad-heat .waiting').length === 0, undefined, {
    timeout: 60_000,
  });
  t.note('all modules after', `${Date.now() - started} ms`);
  t.check('an adapter of 160 MB is shown whole', true);
  await bench.shot('adapter-large-dark', large);
}
