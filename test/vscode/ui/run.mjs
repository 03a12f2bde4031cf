// The page of a run in a real workbench: a live training, a run of 100,000 steps, a failed one, comparison, table, axe,
// pictures, and how soon an event is on the screen. Argument: a folder for pictures. The last line counts.
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { axe, openWorkbench } from './workbench.mjs';

const shots = process.argv[2] ?? join('build', 'shots');
const failures = [];
let passed = 0;
const check = (what, ok, detail = '') => {
  if (ok) passed++;
  else failures.push(`${what} ${detail}`);
  console.log(`  ${ok ? '✔' : '✖'} ${what}${detail ? ` (${detail})` : ''}`);
};

const started = Date.parse('2026-01-05T14:30:00Z');
const planOf = (totalSteps, stepsPerEpoch) => ({
  modelType: 'llama',
  device: 'cpu',
  dtype: 'float32',
  adapter: 'lora',
  trainableParameters: 11_272_192,
  totalParameters: 1_235_814_400,
  adaptedModules: 112,
  trainExamples: 7099,
  evalExamples: 374,
  trainedTokensPerEpoch: 900_000,
  totalSteps,
  stepsPerEpoch,
  effectiveBatchSize: 16,
  predictedPeakBytes: 5.06 * 2 ** 30,
});
const noise = (i) => (Math.sin(i * 12.9898) * 43758.5453) % 1;
const stepOf = (i, total, time) => ({
  type: 'step',
  step: i,
  epoch: i / 441,
  loss: 0.44 + 0.6 * Math.exp(-i / (total / 12)) + 0.05 * noise(i),
  learningRate: 1e-4 * (1 + Math.cos((Math.PI * i) / total)),
  gradNorm: 0.6 + 0.2 * noise(i + 7),
  tokens: 3000,
  tokensPerSecond: 1492 + 40 * noise(i + 3),
  peakMemoryBytes: 5.16 * 2 ** 30,
  etaSeconds: (total - i) * 2,
  time,
});
/** A run folder with a made-up log. */
function makeRun(workspace, name, total, until, end, compareShift = 0) {
  const folder = join(workspace, 'runs', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'recipe.yaml'), '# The settings of this run.\nmodel: base\nr: 16\n');
  const lines = [];
  const at = (i) => new Date(started + i * 2000).toISOString();
  const every = Math.max(1, Math.round(total / 13));
  lines.push({
    type: 'run-started',
    run: folder,
    pid: 4_000_000,
    plan: planOf(total, Math.ceil(total / 3)),
    resumedFromStep: null,
    time: at(0),
  });
  for (let i = 1; i <= until; i++) {
    const step = stepOf(i, total, at(i));
    lines.push({ ...step, loss: step.loss + compareShift });
    if (i % every !== 0) continue;
    const loss = 0.5 + 0.4 * Math.exp(-i / (total / 8)) + compareShift;
    lines.push({
      type: 'eval',
      step: i,
      epoch: i / 441,
      loss,
      perplexity: Math.exp(loss),
      tokens: 1000,
      best: true,
      time: at(i),
    });
    for (const prompt of ['Once upon a time, a small fox', 'The sea was'])
      lines.push({
        type: 'sample',
        step: i,
        prompt,
        text: ` and then, at step ${i}, it went on and on until the end of the story.`,
        time: at(i),
      });
    lines.push({
      type: 'checkpoint',
      step: i,
      path: join(folder, `checkpoints/step-${i}`),
      reason: 'steps',
      time: at(i),
    });
  }
  if (end) lines.push({ ...end, time: at(until + 1) });
  writeFileSync(join(folder, 'events.jsonl'), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
  return folder;
}

const w = await openWorkbench({
  prepare: (workspace) => {
    const result = {
      run: '',
      adapter: '',
      steps: 1323,
      loss: 0.45,
      evalLoss: 0.51,
      trainableParameters: 1,
      tokensPerSecond: 1,
      peakMemoryBytes: 1,
    };
    makeRun(
      workspace,
      'gsm8k-lora-r16',
      1323,
      1323,
      { type: 'finished', step: 1323, reason: 'complete', result },
      -0.02,
    );
    makeRun(workspace, 'huge', 100_000, 100_000, {
      type: 'stopped',
      step: 100_000,
      checkpoint: null,
      result: null,
    });
    makeRun(workspace, 'gsm8k-lora-lr1e-2', 1323, 41, {
      type: 'failed',
      step: 41,
      error: {
        code: 'loss-not-finite',
        message: 'The loss is not finite at step 41.\nIt rose from 0.79 to 21 in 23 steps.',
        remedy: 'Lower learning_rate, for example to 2e-4, and start again.',
      },
    });
    const folder = makeRun(workspace, 'gsm8k-qlora-r16', 1323, 864);
    // The run lives as long as this process does.
    writeFileSync(join(folder, 'run.lock'), JSON.stringify({ pid: process.pid, host: hostname() }));
  },
});
const { page, workspace } = w;
const until = async (get) => {
  for (let turn = 0; turn < 200; turn++) {
    if (await get()) return true;
    await page.waitForTimeout(100);
  }
  return false;
};
const openRun = async (name) => {
  const tree = page.locator('.pane-body .monaco-list-row', { hasText: name }).first();
  if (!(await tree.isVisible()))
    await page.locator('.activitybar .action-item a[aria-label^="LoRA Workbench"]').first().click();
  await tree.waitFor();
  await tree.click();
  // Pages that are hidden keep their frames.
  for (let turn = 0; turn < 200; turn++) {
    for (const frame of page.frames()) {
      const title = await frame
        .locator('main.lw .rn-head h1')
        .innerText({ timeout: 300 })
        .catch(() => '');
      if (title.trim() === name) return frame;
    }
    await page.waitForTimeout(100);
  }
  throw new Error(`The page of ${name} did not open.`);
};
try {
  await page.waitForTimeout(3000);
  const live = await openRun('gsm8k-qlora-r16');
  await page.waitForTimeout(800);
  await w.shot(shots, 'run-dark');
  const head = await live.locator('.rn-head').innerText();
  check('a run shows its state', /864 of 1,323/.test(head), head.replaceAll('\n', ' '));

  if (/Running|Last seen/.test(head)) {
    const log = join(workspace, 'runs/gsm8k-qlora-r16/events.jsonl');
    const latencies = [];
    // Stamped inside the page, when the state's words change.
    await live.evaluate(() => {
      globalThis.seen = new Map();
      const place = document.querySelector('.rn-head').parentElement;
      new MutationObserver(() => {
        const step = /step (\d+)/.exec(place.querySelector('.state')?.textContent ?? '')?.[1];
        if (step && !globalThis.seen.has(step)) globalThis.seen.set(step, Date.now());
      }).observe(place, { childList: true, subtree: true });
    });
    for (let i = 865; i < 875; i++) {
      const before = Date.now();
      appendFileSync(log, `${JSON.stringify(stepOf(i, 1323, new Date().toISOString()))}\n`);
      await until(() => live.evaluate((step) => globalThis.seen.has(String(step)), i));
      latencies.push((await live.evaluate((step) => globalThis.seen.get(String(step)), i)) - before);
    }
    latencies.sort((a, b) => a - b);
    check('an event reaches the screen', true, `median ${latencies[5]} ms, worst ${latencies[9]} ms`);
  }
  const found = await axe(live);
  check('axe finds nothing serious', found.length === 0, found.join('\n'));
  await live.locator('summary', { hasText: 'Show as table' }).click();
  check(
    'the chart is there as a table',
    await until(async () => (await live.locator('.rn-table tbody tr').count()) > 50),
  );
  await live.locator('summary', { hasText: 'Show as table' }).click();
  await live.locator('button', { hasText: 'Compare' }).click();
  await page.locator('.quick-input-list .monaco-list-row', { hasText: 'gsm8k-lora-r16' }).first().click();
  await page.keyboard.press('Enter');
  check('another run lies over it', await until(async () => (await live.locator('.rn-other').count()) === 1));
  await page.waitForTimeout(500);
  for (const theme of ['light', 'hc', 'dark']) {
    await w.theme(theme);
    await w.shot(shots, `run-compared-${theme}`);
    const more = await axe(live);
    check(`axe finds nothing serious (${theme})`, more.length === 0, more.join('\n'));
  }
  await live.locator('#tab-samples').click();
  await page.waitForTimeout(400);
  await w.shot(shots, 'run-samples-dark');
  await live.locator('#tab-samples').focus();
  await page.keyboard.press('ArrowRight');
  check(
    'arrows move between tabs',
    (await live.locator('#tab-log').getAttribute('aria-selected')) === 'true',
  );
  await live.locator('#tab-charts').click();
  await page.setViewportSize({ width: 900, height: 1000 });
  await page.waitForTimeout(800);
  await w.shot(shots, 'run-narrow');
  await page.setViewportSize({ width: 1440, height: 900 });

  const failed = await openRun('gsm8k-lora-lr1e-2');
  await page.waitForTimeout(600);
  await w.shot(shots, 'run-failed-dark');
  check(
    'a failure says why and what to do',
    /not finite at step 41/.test(await failed.locator('.rn-fail').innerText()),
  );

  const before = Date.now();
  const huge = await openRun('huge');
  check(
    '100,000 steps are drawn',
    await until(async () =>
      /100,000 steps/.test((await huge.locator('.rn-loss canvas').getAttribute('aria-label')) ?? ''),
    ),
    `${Date.now() - before} ms with the click`,
  );
  const frames = await huge.evaluate(async () => {
    const times = [];
    const box = document.querySelector('vscode-checkbox');
    for (let i = 0; i < 6; i++) {
      const start = performance.now();
      box.click();
      await new Promise((resume) => requestAnimationFrame(() => requestAnimationFrame(resume)));
      times.push(performance.now() - start);
    }
    return times;
  });
  await w.shot(shots, 'run-huge-dark');
  check('and redraw', true, `${frames.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  check('no console error', w.ourErrors().length === 0, w.ourErrors().join('\n'));
  check('nothing asked outside', w.outside().length === 0, w.outside().join('\n'));
} catch (error) {
  failures.push(String(error));
  console.error(error);
  await w.shot(shots, 'run-check-failed').catch(() => {});
} finally {
  await w.close();
}
console.log(`\nRun: ${passed} passed, ${failures.length} failed`);
process.exit(failures.length > 0 ? 1 : 0);
