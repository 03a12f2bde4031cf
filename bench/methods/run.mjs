// `npm run bench:methods [-- name …]`: trains what the papers' claims are about on the sample model, several seeds each, and
// writes bench/METHODS.md with a plot per experiment, and the costs into the README's table. Finished runs are kept in build/methods and not repeated.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { install, root, run } from '../../scripts/setup.mjs';
import { Lab } from './lab.mjs';
import { svgPlot } from './plot.mjs';
import { withCosts } from './readme.mjs';
import { methodsPage } from './report.mjs';

install();
run(process.execPath, ['scripts/build.mjs']);
const here = join(root, 'bench/methods');
mkdirSync(join(here, 'results'), { recursive: true });
mkdirSync(join(here, 'plots'), { recursive: true });

const names = readdirSync(join(here, 'experiments'))
  .filter((name) => name.endsWith('.mjs'))
  .sort();
const wanted = process.argv.slice(2);
let failed = 0;
for (const name of names) {
  const { experiment } = await import(pathToFileURL(join(here, 'experiments', name)).href);
  if (wanted.length && !wanted.includes(experiment.id)) continue;
  console.error(`${experiment.id}: ${experiment.claim}`);
  try {
    const found = experiment.run(new Lab(experiment.id), experiment.seeds);
    const { plot, ...rest } = found;
    const { run: _, ...facts } = experiment;
    writeFileSync(
      join(here, 'results', `${experiment.id}.json`),
      `${JSON.stringify({ ...facts, ...rest }, null, 2)}\n`,
    );
    if (plot) writeFileSync(join(here, 'plots', `${experiment.id}.svg`), svgPlot(plot));
  } catch (error) {
    failed++;
    console.error(`${experiment.id} could not be measured: ${error.message}`);
  }
}
// The page shows every result there is; one experiment can be repeated without the others.
const results = names
  .map((name) => join(here, 'results', name.replace(/^\d+-/, '').replace(/\.mjs$/, '.json')))
  .filter((path) => existsSync(path))
  .map((path) => JSON.parse(readFileSync(path, 'utf8')));
writeFileSync(
  join(root, 'bench/METHODS.md'),
  methodsPage(results, (id) => existsSync(join(here, 'plots', `${id}.svg`))),
);
const { costs } = results.find((one) => one.id === 'costs') ?? {};
if (costs) {
  const readme = join(root, 'README.md');
  writeFileSync(readme, withCosts(readFileSync(readme, 'utf8'), costs));
}
process.exitCode = failed ? 1 : 0;
