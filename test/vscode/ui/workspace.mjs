// The workspace of the checks: that of the suites inside the extension host, and adapters, datasets, recipes and runs that the
// panels can show.
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../../scripts/setup.mjs';
import { writeAdapters, writeDatasets } from './adapter.fixtures.mjs';
import { writeRuns } from './run.fixtures.mjs';

export function makeWorkspace(workspace) {
  const made = spawnSync(process.execPath, [join(root, 'build/vscode/makeWorkspace.js'), workspace], {
    cwd: root,
    stdio: 'inherit',
  });
  if (made.status !== 0) throw new Error('The test workspace was not made.');
  writeAdapters(workspace);
  writeDatasets(workspace);
  writeRuns(workspace);
  const write = (name, text) => writeFileSync(join(workspace, name), text);
  const rows = readFileSync(join(workspace, 'data/train.jsonl'), 'utf8')
    .split('\n')
    .map((line) => JSON.parse(line));
  const cell = (text) => `"${text.replaceAll('"', '""')}"`;
  write(
    'data/pairs.csv',
    `prompt,completion\n${rows.map(({ prompt, completion }) => `${cell(prompt)},${cell(completion)}`).join('\n')}\n`,
  );
  write('data/pairs.json', JSON.stringify(rows, null, 1));
  copyFileSync(
    join(root, 'test/fixtures/data/nested-snappy.parquet'),
    join(workspace, 'data/nested.parquet'),
  );
  // 65,536 rows at once need more memory than any machine of ours has.
  write(
    'large.lora.yaml',
    'model: models/tiny\ndataset: data/train.jsonl\nadapter: lora\nr: 16\nmax_length: 256\nper_device_train_batch_size: 65536\ngradient_checkpointing: none\n',
  );
}
