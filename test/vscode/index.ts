// What the editor calls to run a suite inside its extension host: the tests of one folder, their results into a file.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Mocha from 'mocha';

/** The first window's day: it looks at the workspace before it changes it, and leaves a training under way. */
const order = ['activation', 'trees', 'recipes', 'commands', 'training', 'closing'];

interface Result {
  title: string;
  error?: string;
  milliseconds: number;
}

export async function run(): Promise<void> {
  const suite = process.env.LORA_SUITE ?? 'main';
  const mocha = new Mocha({ ui: 'tdd', timeout: 120_000, reporter: 'min' });
  if (process.env.LORA_FILTER) mocha.fgrep(process.env.LORA_FILTER);
  const folder = join(__dirname, suite);
  const names = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
  const place = (name: string): number => order.indexOf(name.replace('.test.js', ''));
  for (const name of names.sort((a, b) => place(a) - place(b))) mocha.addFile(join(folder, name));
  const results: Result[] = [];
  await mocha.loadFilesAsync();
  const failures = await new Promise<number>((resolve) => {
    const runner = mocha.run(resolve);
    const add = (test: Mocha.Runnable, error?: Error): void => {
      const title = test.fullTitle();
      const milliseconds = test.duration ?? 0;
      results.push({
        title,
        milliseconds,
        ...(error === undefined ? {} : { error: error.stack ?? error.message }),
      });
      if (process.env.LORA_RESULTS) writeFileSync(process.env.LORA_RESULTS, JSON.stringify(results));
    };
    runner.on('pass', (test) => add(test));
    runner.on('fail', (test, error: Error) => add(test, error));
  });
  if (failures > 0) throw new Error(`${failures} failed`);
}
