// How long it takes from choosing a thing to seeing it, in a real workbench: an adapter of 160 MB (summary with heat map), a
// dataset of 100,000 rows (rows as tokens), a run of 100,000 steps (its charts). Argument: how often each is opened. The time
// counts from the key that chooses in the quick pick; it fails where the median is beyond the target.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openTimed, quantile } from './timing.mjs';

const turns = Number(process.argv[2] ?? 3);
const steps = 100_000;

function writeRun(workspace) {
  const folder = join(workspace, 'runs', 'long');
  mkdirSync(folder, { recursive: true });
  const time = (i) => new Date(1_767_000_000_000 + 2000 * i).toISOString();
  const plan = {
    modelType: 'llama',
    device: 'cpu',
    adapter: 'lora',
    totalSteps: steps,
    stepsPerEpoch: steps / 4,
  };
  const lines = [
    { type: 'run-started', run: folder, pid: 4_000_000, plan, resumedFromStep: null, time: time(0) },
  ];
  for (let i = 1; i <= steps; i++) {
    const loss = 0.44 + 0.6 * Math.exp((-12 * i) / steps) + 0.05 * Math.sin(i * 12.9898);
    lines.push({
      type: 'step',
      step: i,
      epoch: (4 * i) / steps,
      loss,
      learningRate: 1e-4 * (1 - i / steps),
      gradNorm: 0.6,
      tokens: 3000,
      tokensPerSecond: 1492,
      peakMemoryBytes: 5.16 * 2 ** 30,
      etaSeconds: 2 * (steps - i),
      time: time(i),
    });
  }
  lines.push({ type: 'stopped', step: steps, checkpoint: null, result: null, time: time(steps + 1) });
  writeFileSync(join(folder, 'recipe.yaml'), 'model: base\n');
  writeFileSync(join(folder, 'events.jsonl'), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
}

const w = await openTimed(writeRun);
const { page } = w;
const failures = [];

/** Types into the quick pick, waits for the row, and chooses it; returns when that was. */
async function choose(row, text) {
  if (text !== undefined) await page.locator('.quick-input-widget input[type=text]').fill(text);
  const found = page.locator('.quick-input-list .monaco-list-row', { hasText: row }).first();
  await found.waitFor();
  await page.waitForTimeout(500);
  const since = Date.now();
  await found.click();
  return since;
}

async function quickOpen(name) {
  await page.keyboard.press('Control+P');
  await page.locator('.quick-input-widget input[type=text]').fill(name);
}

/** Milliseconds until a condition holds in some frame; looked at every few. */
async function seen(since, condition) {
  for (
    const end = Date.now() + 60_000;
    Date.now() < end;
    await new Promise((resume) => setTimeout(resume, 15))
  ) {
    for (const frame of page.frames()) {
      if (!frame.url().includes('fake.html') && frame.parentFrame() === null) continue;
      if (await frame.evaluate(condition).catch(() => false)) return Date.now() - since;
    }
  }
  throw new Error('It was never seen.');
}

const close = async () => {
  await w.clear();
  await page.waitForTimeout(1200);
};

async function measure(what, targetMs, open, conditions) {
  const times = conditions.map(() => []);
  for (let turn = 0; turn < turns; turn++) {
    const since = await open();
    for (const [i, [, condition]] of conditions.entries()) times[i].push(await seen(since, condition));
    await close();
  }
  for (const [i, [name]] of conditions.entries()) {
    const median = quantile(times[i], 0.5);
    const last = i === conditions.length - 1;
    console.log(
      `  ${what}, ${name}: median ${median} ms (${times[i].join(', ')})${last ? `, target ${targetMs}` : ''}`,
    );
    if (last && median > targetMs) failures.push(`${what}: ${median} ms`);
  }
}

try {
  await page.waitForTimeout(6000);
  await measure(
    'adapter of 160 MB',
    2000,
    async () => {
      await quickOpen('adapters/seven-b/adapter_model.safetensors');
      return choose('adapter_model.safetensors');
    },
    [
      ['summary', () => document.querySelectorAll('.ad-heat [role="gridcell"]').length === 224],
      [
        'whole heat map',
        () =>
          document.querySelectorAll('.ad-heat [role="gridcell"]').length === 224 &&
          document.querySelectorAll('.ad-heat .waiting').length === 0,
      ],
    ],
  );
  await measure(
    '100,000 rows',
    1000,
    async () => {
      await w.command('LoRA Workbench: Open Dataset as the Model Sees It');
      return choose('many.jsonl', 'many');
    },
    [
      ['page', () => document.querySelector('.ln-bar') !== null],
      ['count', () => /100,000/.test(document.querySelector('main')?.textContent ?? '')],
      [
        'rows as tokens',
        () =>
          /100,000/.test(document.querySelector('main')?.textContent ?? '') &&
          document.querySelector('.tk.trained') !== null,
      ],
    ],
  );
  await measure(
    `${steps} steps`,
    1000,
    async () => {
      await w.command('LoRA Workbench: Open Run');
      return choose('long', 'long');
    },
    [
      ['page', () => document.querySelector('.rn-head h1') !== null],
      [
        'charts',
        () =>
          /100,000 steps/.test(document.querySelector('.rn-loss canvas')?.getAttribute('aria-label') ?? ''),
      ],
    ],
  );
} finally {
  await w.close();
}
for (const failure of failures) console.log(`  ✖ ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);
