// Training on a GPU: the device in the form, Doctor, CUDA's installation, a run that shows its device live, two runs on one
// device, a device without room. Runs where nvidia-smi finds a device: `node scripts/emulatedCuda.mjs -- node
// scripts/vscode/ui.mjs gpu`, or a machine with a GPU. Only the emulated one can be made small.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../../scripts/setup.mjs';
import { until } from './workbench.mjs';

/** A device on the CPU translates each kernel before its first use. */
const slowMs = 300_000;
/** Of the emulated device: enough for the weights, not for a step. */
const smallBytes = 30 * 2 ** 20;
const isEmulated = process.env.EMULATED_CUDA_TRACE !== undefined;

const recipe = (name, more) => `model: base
dataset: data/pirate.train.jsonl
eval_dataset: data/pirate.eval.jsonl
output_dir: runs/${name}
adapter: lora
r: 8
per_device_eval_batch_size: 2
gradient_accumulation_steps: 1
learning_rate: 5.0e-3
${more}`;

/** The name of the first device; undefined where there is none. */
function deviceName() {
  const asked = spawnSync('nvidia-smi', ['--query-gpu=name', '--format=csv,noheader'], { encoding: 'utf8' });
  return asked.status === 0 ? asked.stdout.split('\n')[0].trim() || undefined : undefined;
}

export async function checkGpu(bench, t) {
  const name = deviceName();
  if (name === undefined) {
    t.check('skipped: nvidia-smi finds no device here', true);
    return;
  }
  const sample = join(bench.workspace, 'gpu');
  mkdirSync(join(sample, 'data'), { recursive: true });
  cpSync(join(root, 'samples/base'), join(sample, 'base'), { recursive: true });
  for (const part of ['train', 'eval']) {
    const file = `data/pirate.${part}.jsonl`;
    const rows = readFileSync(join(root, 'samples', file), 'utf8').split('\n');
    writeFileSync(join(sample, file), rows.slice(0, part === 'eval' ? 4 : 40).join('\n'));
  }
  const write = (file, text) => writeFileSync(join(sample, `${file}.lora.yaml`), recipe(file, text));
  const little = 'max_length: 48\nper_device_train_batch_size: 2\n';
  write('device', `max_steps: 60\n${little}`);
  write('second', `max_steps: 4\ndevice: cuda:0\n${little}`);
  write('small', 'max_steps: 4\ndevice: cuda:0\nper_device_train_batch_size: 8\nmax_length: 256\n');
  try {
    await bench.run('loraWorkbench.refresh');
    await doctor(bench, t);
    await installed(bench, t);
    await form(bench, t, name);
    await live(bench, t, name);
    if (isEmulated) await withoutRoom(bench, t);
    else t.note('not tried', 'a device without room; only the emulated one can be made small');
  } finally {
    await bench.setting('loraWorkbench.environment', undefined);
    for (const { pid } of bench.processes('--detached')) process.kill(pid, 'SIGKILL');
    await bench.clear();
    rmSync(sample, { recursive: true, force: true, maxRetries: 3 });
    await bench.run('loraWorkbench.refresh');
  }
}

const textShown = (page) =>
  page
    .locator('.editor-group-container.active .view-lines')
    .first()
    .innerText()
    .then((text) => text.replaceAll('\u00a0', ' '))
    .catch(() => '');

async function doctor(bench, t) {
  await bench.command('LoRA Workbench: Doctor: Check This Machine');
  const text = await until(
    'the report of Doctor',
    async () => {
      const shown = await textShown(bench.page);
      return /cuda:0.*works/.test(shown) && shown;
    },
    slowMs,
  );
  t.check('Doctor tells of the device and of its training step', /a training step took/.test(text));
  t.check(
    'and what CUDA needs',
    /everything is there/.test(text) && /driver: ok/.test(text),
    text.split('\n').slice(0, 6).join(' / '),
  );
  t.none('Doctor: pictures', await bench.surface('gpu-doctor'));
  await bench.clear();
}

async function installed(bench, t) {
  const { page } = bench;
  await bench.command('LoRA Workbench: Install CUDA Runtime…');
  await bench.choice('Fetch them').waitFor();
  await bench.shot('gpu-install-dark');
  await page.keyboard.press('Enter');
  const told = await until(
    'the end of the installation',
    async () => {
      const words = (await page.locator('.notification-list-item-message').allInnerTexts()).join(' ');
      return /agrees with the CPU|failed|missing/.test(words) && words;
    },
    slowMs,
  );
  t.check(
    'Install CUDA Runtime says that it is there already, and proves it',
    /there already/.test(told) && /cuda:0 agrees with the CPU/.test(told),
    told,
  );
  t.none('installed: pictures', await bench.surface('gpu-installed', undefined, { state: true }));
  await page.locator('.notifications-toasts .monaco-button', { hasText: 'Show Report' }).click();
  await until('the report', async () => /driver: ok/.test(await textShown(page)));
  t.check('its report can be shown', true);
  await bench.clear();
}

async function form(bench, t, name) {
  const { page, workspace } = bench;
  await bench.show('gpu/device.lora.yaml', 'loraWorkbench.configure');
  const frame = await bench.panel('main.lw .lw-verdict', slowMs);
  const list = frame.locator('#f-device');
  const option = await until('the list offers the device', () =>
    list.evaluate((one) =>
      [...one.options].map(({ text }) => text).find((text) => text.startsWith('cuda:0')),
    ),
  );
  t.check('the list of devices tells free memory', /^cuda:0, [\d.]+ GiB free$/.test(option), option);
  const exact = () =>
    until(
      'the forecast is exact',
      async () => /compiled and planned/.test(await frame.locator('.lw-parts').innerText()),
      slowMs,
    );
  await exact();
  const before = await frame.locator('.lw-parts .sum').innerText();
  await list.focus();
  await page.keyboard.press('Enter');
  await until('the list is open', () => list.evaluate((one) => one.hasAttribute('open')));
  await bench.shot('gpu-devices-dark', frame);
  for (let turn = 0; turn < 20; turn++) {
    const at = await list.evaluate((one) => one.options[one.selectedIndex]?.text ?? '');
    if (at.startsWith('cuda:0')) break;
    await page.keyboard.press('ArrowDown');
  }
  await page.keyboard.press('Enter');
  await until('the forecast follows', async () =>
    /System memory/.test(await frame.locator('.lw-parts').innerText()),
  );
  await exact();
  const parts = (await frame.locator('.lw-parts').innerText()).replaceAll(/\s+/g, ' ');
  t.check(
    'the forecast tells device and system memory apart',
    /CUDA itself/.test(parts) && /System memory beside the device/.test(parts),
    `${before.replaceAll(/\s+/g, ' ')} → ${parts}`,
  );
  const told = (await frame.locator('.lw-page').first().innerText()).replaceAll(/\s+/g, ' ');
  t.check('the chosen device is told by its name', told.includes(`${name}: `));
  t.none('form with a device: pictures, axe', await bench.surface('gpu-configure', frame));
  await bench.run('workbench.action.files.save');
  await until('the recipe names the device', () =>
    /^device: cuda:0$/m.test(readFileSync(join(workspace, 'gpu/device.lora.yaml'), 'utf8')),
  );
  t.check('the recipe names the device', true);
}

const stateOf = (frame) => frame.locator('.rn-head .state').innerText();
const named = (bench, name) => bench.panel(`main.lw .rn-head h1:text-is("${name}")`, slowMs);

async function live(bench, t, name) {
  const start = (file) => {
    const path = join(bench.workspace, 'gpu', `${file}.lora.yaml`);
    return bench.run('loraWorkbench.runRecipe', { path });
  };
  await start('device');
  const frame = await named(bench, 'device');
  const place = frame.locator('.rn-device');
  const seen = new Set();
  const look = async () => {
    if ((await place.count()) > 0) seen.add((await place.innerText()).replaceAll(/\s+/g, ' '));
    return stateOf(frame);
  };
  await until('steps', async () => /Running, step (?!1 )\d+/.test(await look()), slowMs);
  await until(
    'the device holds something',
    async () => {
      await look();
      return [...seen].some((text) => /Device memory [1-9]/.test(text) && /100 ?%/.test(text));
    },
    slowMs,
  );
  t.check(
    'memory and utilisation of the device are shown live, with its name',
    (await place.innerText()).includes(name),
    [...seen].at(-1),
  );
  await frame.locator('.rn-head vscode-button', { hasText: 'Pause' }).click();
  await until('it pauses', async () => /^Paused/.test(await look()), slowMs);
  t.none('run on the device: pictures, axe', await bench.surface('gpu-run', frame));

  // Another run on the same device.
  await start('second');
  const waiting = async () => (await bench.ask('runs')).find((run) => run.name === 'second');
  await until('the second run waits', async () => (await waiting())?.state === 'waiting', slowMs);
  const second = await named(bench, 'second');
  const words = await until('it says why', async () => {
    const text = await stateOf(second);
    return /cuda:0/.test(text) && text;
  });
  t.check('a second run on the device waits and says for what', /device/.test(words), words);
  t.none('waiting run: pictures, axe', await bench.surface('gpu-waiting', second));
  const { id } = (await bench.ask('runs')).find((run) => run.name === 'device');
  await bench.run('loraWorkbench.openRun', { kind: 'run', id });
  const again = await named(bench, 'device');
  await again.locator('.rn-head vscode-button', { hasText: 'Continue' }).click();
  await until('it finishes', async () => /^Finished/.test(await stateOf(again)), slowMs);
  const memory = (await again.locator('.rn-stats').innerText()).replaceAll(/\s+/g, ' ');
  t.check(
    'the measured peak stands beside the forecast',
    /Memory peak [1-9][\d.]* ?[KMG]iB forecast [1-9]/.test(memory),
    memory,
  );
  t.none('finished on the device: pictures, axe', await bench.surface('gpu-finished', again));
  await until('the second run has had its turn', async () => (await waiting())?.state === 'finished', slowMs);
  const tabs = (await bench.ask('tabs')).filter(({ label }) => label === 'second');
  t.check('the second run trains when the device is free, and has one page', tabs.length === 1);
  await bench.run('loraWorkbench.openRun', { kind: 'run', id });

  await again.locator('.rn-head vscode-button', { hasText: 'Inspect adapter' }).click();
  const adapter = await bench.panel('.ad-heat');
  await until('the adapter is read', async () =>
    /modules changed/.test(await adapter.locator('.ad-sum').innerText()),
  );
  t.check('its adapter opens', true, (await adapter.locator('.ad-sum').innerText()).replaceAll('\n', ' '));
  await bench.clear();
}

async function withoutRoom(bench, t) {
  const { page, workspace } = bench;
  await bench.setting('loraWorkbench.environment', { EMULATED_CUDA_MEMORY: String(smallBytes) });
  const run = () => bench.run('loraWorkbench.runRecipe', { path: join(workspace, 'gpu', 'small.lora.yaml') });
  await run();
  const known = async () => (await bench.ask('runs')).find(({ name }) => name === 'small');
  await until('it fails', async () => (await known())?.state === 'failed', slowMs);
  await bench.run('workbench.action.closeAllEditors');
  await page.locator('.notifications-toasts .monaco-button', { hasText: 'Open Run' }).click();
  const frame = await named(bench, 'small');
  const failure = frame.locator('.rn-fail');
  await failure.locator('.rn-mend').waitFor();
  const words = (await failure.innerText()).replaceAll(/\s+/g, ' ');
  t.check(
    'a device without room says what was asked and what was free',
    /cuda:0 has no room for [\d.]+ [KMG]iB more/.test(words) && /[\d.]+ [KMG]iB were free/.test(words),
    words,
  );
  t.check(
    'in its first line, without the words of the runtime',
    !/onnxruntime/i.test(await failure.locator('h2').innerText()),
  );
  t.none('out of memory: pictures, axe', await bench.surface('gpu-out-of-memory', frame));
  await failure.locator('.rn-mend button').first().click();
  const form = await bench.panel('main.lw .lw-verdict', slowMs);
  await until(
    'the form has the remedy',
    async () => (await form.locator('#f-per_device_train_batch_size').evaluate((one) => one.value)) === '4',
  );
  t.check('a remedy opens the form with the change made', true);
  await until(
    'the forecast of the changed recipe',
    async () => /compiled and planned/.test(await form.locator('.lw-parts').innerText()),
    slowMs,
  );
  t.none('form after the failure: pictures, axe', await bench.surface('gpu-remedy', form, { state: true }));
  await bench.run('workbench.action.files.save');
  // The emulated device as large as it was: as if another program had left it.
  await bench.setting('loraWorkbench.environment', undefined);
  await bench.clear();
  await run();
  // The runs' folder keeps the failed one, so that this one has another name.
  const next = async () => (await bench.ask('runs')).find((one) => one.name === 'small-2');
  await until('the changed recipe trains', async () => (await next())?.state === 'finished', slowMs);
  t.check('the device is usable afterwards', true);
}
