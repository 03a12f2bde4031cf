// `npm run bench:factorisations [filter]`: time, error and memory of the decompositions behind initialisations and GaLore, on
// weights of a 7B model's shape. Every row is a process of its own. Writes the section "Factorisations" of bench/RESULTS.md.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { bundleBench } from '../scripts/bundle.mjs';
import { install, root } from '../scripts/setup.mjs';

install();
const threads = process.env.BENCH_THREADS ?? '2';
const large = { rows: 4096, columns: 11008 };
const all = [
  { method: 'pissa', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'pissa_niter_4', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'pissa_niter_16', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'milora', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'milora', ...large, rank: 64, spectrum: 'tail' },
  { method: 'milora', rows: 4096, columns: 4096, rank: 64, spectrum: 'tail' },
  { method: 'olora', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'loftq', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'corda ipm', rows: 11008, columns: 4096, rank: 64, spectrum: 'bulk' },
  { method: 'corda kpm', rows: 11008, columns: 4096, rank: 64, spectrum: 'bulk' },
  { method: 'corda ipm', ...large, rank: 64, spectrum: 'bulk' },
  { method: 'galore', rows: 1536, columns: 2048, rank: 512, spectrum: 'bulk' },
  { method: 'galore', rows: 4096, columns: 4096, rank: 512, spectrum: 'bulk' },
  { method: 'galore', ...large, rank: 512, spectrum: 'bulk' },
  { method: 'galore', ...large, rank: 1024, spectrum: 'bulk' },
];
const nameOf = ({ method, rows, columns, rank, spectrum }) =>
  `${method.replace(' ', '-')}-${rows}x${columns}-${rank}-${spectrum}`;
const fileOf = (one) => `${root}build/bench/factorisation-${nameOf(one)}.json`;

await bundleBench(['bench/factorisations.ts']);
for (const one of all.filter((one) => nameOf(one).includes(process.argv[2] ?? ''))) {
  const args = ['build/bench/factorisations.js', JSON.stringify(one), threads];
  const result = spawnSync('node', args, { cwd: root, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${nameOf(one)} failed:\n${result.stderr}`);
  writeFileSync(fileOf(one), result.stdout.trim().split('\n').at(-1));
  console.error(nameOf(one), result.stdout.trim());
}

const measures = {
  share: (value) => `${(100 * value).toFixed(3)} % of the optimum's energy`,
  error: (value) => `${value.toExponential(1)} of the columns' norm`,
  left: (value) => `${(100 * value).toFixed(2)} % of the quantisation error left`,
  taken: (value) => `${(100 * value).toFixed(2)} % of the weight's norm taken out`,
};
const rows = all
  .map(fileOf)
  .filter(existsSync)
  .map((file) => JSON.parse(readFileSync(file, 'utf8')))
  .map(
    (r) =>
      `| ${r.method} | ${r.rows} × ${r.columns} | ${r.rank} | ${r.spectrum} | ${r.cpuSeconds.toFixed(1)} | ${r.seconds.toFixed(1)} | ${measures[r.measure](r.value)} | ${Math.round((r.peak - r.before) / 2 ** 20)} |`,
  );
const heading = '## Factorisations';
const text = `${heading}

Made by \`npm run bench:factorisations\`: one weight, random, with known singular values; ${threads} threads. "bulk": outliers up to 20 times a bulk that ends at a fifth. "tail": a power law that falls to 1e-5 of the largest. Neither has a gap. Processor seconds count all threads; wall seconds include whatever else the machine did meanwhile, so that processor seconds / ${threads} is what an idle machine would need at least. For smallest directions (milora) more than 100 % is worse than the optimum, for largest less. Memory is the peak beyond the weight itself.

| method | weight | r | spectrum | processor s | wall s | error | MiB |
| --- | --- | --: | --- | --: | --: | --- | --: |
${rows.join('\n')}
`;
const path = `${root}bench/RESULTS.md`;
const before = readFileSync(path, 'utf8');
const start = before.indexOf(heading);
const after = start < 0 ? -1 : before.indexOf('\n## ', start + 1);
const kept = start < 0 ? `${before.trimEnd()}\n\n` : before.slice(0, start);
writeFileSync(path, kept + text + (after < 0 ? '' : before.slice(after)));
