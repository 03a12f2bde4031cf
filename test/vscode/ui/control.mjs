// A real training under way: paused, continued, saved, its window reloaded, stopped; all by the buttons of its page.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './workbench.mjs';

const steps = async (frame) =>
  Number(
    /([\d,]+) steps/
      .exec((await frame.locator('.rn-loss canvas').getAttribute('aria-label')) ?? '')?.[1]
      ?.replaceAll(',', '') ?? 0,
  );
const state = (frame) => frame.locator('.rn-head .state').innerText();

export async function checkControl(bench, t) {
  const { page, workspace } = bench;
  await bench.show('long.lora.yaml');
  await page.locator('.codelens-decoration a', { hasText: 'Run' }).first().click();
  let frame = await bench.panel('main.lw .rn-head h1:text-is("long")', 60_000);
  const press = (name) => frame.locator('.rn-head vscode-button', { hasText: name }).click();
  const live = async () => (await bench.ask('runs')).find(({ name }) => name === 'long');
  try {
    await until('steps', async () => (await steps(frame)) > 20, 60_000);
    t.check('the code lens starts a run, and its page opens', true);
    await press('Pause');
    await until('it pauses', async () => /^Paused at step/.test(await state(frame)));
    await bench.painted(frame);
    const at = await steps(frame);
    await bench.shot('run-paused-dark', frame);
    await press('Continue');
    await until('it goes on', async () => (await steps(frame)) > at);
    t.check('Pause and Continue', true, `at step ${at}`);
    const before = (await live()).checkpoints;
    await press('Checkpoint now');
    await until(
      'a checkpoint',
      async () => (await live()).checkpoints > before || existsSync(join(workspace, 'runs/long/checkpoints')),
    );
    await until('the event', async () =>
      /asked for|on request|heckpoint/.test(await frame.locator('.rn-events').innerText()),
    );
    t.check(
      'Checkpoint now',
      true,
      (await frame.locator('.rn-events li').first().innerText()).replaceAll('\n', ' '),
    );

    await frame.locator('#tab-log').click();
    const seen = await steps(frame);
    await bench.reload();
    frame = await bench.panel('main.lw .rn-head h1:text-is("long")', 60_000);
    await until(
      'the kept tab',
      async () => (await frame.locator('#tab-log').getAttribute('aria-selected')) === 'true',
    );
    await frame.locator('#tab-charts').click();
    await until('the complete curve', async () => (await steps(frame)) >= seen);
    const first = await until('the first step', () =>
      frame.evaluate(() => {
        const details = [...document.querySelectorAll('details')].find((one) =>
          /Show as table/.test(one.textContent),
        );
        details.open = true;
        return document.querySelector('.rn-table tbody tr th, .rn-table tbody tr td')?.textContent;
      }),
    );
    const now = await steps(frame);
    await until('it grows on', async () => (await steps(frame)) > now);
    const shown = Number(/step ([\d,]+)/.exec(await state(frame))[1].replaceAll(',', ''));
    t.check(
      'after Reload Window the Run tab is there with the whole curve',
      Math.abs((await steps(frame)) - shown) < 200,
      `${seen} steps before, ${shown} now, table from step ${first}`,
    );
    t.check(
      'one page for the run',
      (await bench.ask('tabs')).filter(({ label }) => label === 'long').length === 1,
    );
    t.check('its process outlived the window', bench.processes('--detached').length === 1);
    await press('Stop and save');
    await until('it stops', async () => /^Stopped at step/.test(await state(frame)), 60_000);
    t.check('Stop and save', true, await state(frame));
    t.none('stopped run: pictures, axe', await bench.surface('run-stopped', frame, { state: true }));
    await until('its process is gone', () => bench.processes('--detached').length === 0);
    t.check('and leaves no process', true);
  } finally {
    for (const { pid } of bench.processes('--detached')) process.kill(pid, 'SIGKILL');
  }
}
