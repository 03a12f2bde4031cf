// `npm run bench`: tokens per second and peak memory against PEFT + PyTorch on the same machine in alternating processes, and
// the step against ORT's own time for the same matrix products. Writes bench/RESULTS.md.
// The other side needs a Python with torch, transformers and peft: PEFT_PYTHON=/path/to/python npm run bench
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { bundleBench } from '../scripts/bundle.mjs';
import { install, root } from '../scripts/setup.mjs';

install();
const threads = Number(process.env.BENCH_THREADS ?? 2);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const python = process.env.PEFT_PYTHON;

const steps = ['--steps', process.env.BENCH_STEPS ?? '6', '--warmup', '2'];
const all = [
  { model: 'llama-23m', batch: 4, length: 256 },
  { model: 'llama-23m', batch: 1, length: 1024 },
  { model: 'llama-110m', batch: 4, length: 256 },
  { model: 'llama-110m', batch: 1, length: 1024 },
];
const nameOf = ({ model, batch, length }) => `${model}-${batch}x${length}`;
// A name filter measures some cases; the table then shows what earlier calls measured of the others.
const cases = all.filter((one) => !process.argv[2] || nameOf(one).includes(process.argv[2]));

await bundleBench(['bench/ours.ts', 'bench/products.ts', 'bench/profile.ts']);

function measure(program, args) {
  const result = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  const line = result.stdout?.trim().split('\n').at(-1);
  if (result.status !== 0 || !line) throw new Error(`${program} ${args.join(' ')} failed:\n${result.stderr}`);
  return JSON.parse(line);
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const mib = (bytes) => Math.round(bytes / 2 ** 20);
for (const { model, batch, length } of cases) {
  const common = [
    '--config',
    `bench/models/${model}.json`,
    '--batch',
    batch,
    '--length',
    length,
    '--threads',
    threads,
  ].map(String);
  const ours = { selective: [], none: [] };
  const theirs = [];
  const products = { selective: [], none: [] };
  for (let round = 0; round < rounds; round++) {
    // Alternating, so that whatever else the machine does meets both sides.
    for (const checkpointing of ['selective', 'none']) {
      const mode = [...common, '--checkpointing', checkpointing];
      ours[checkpointing].push(measure('node', ['build/bench/ours.js', ...mode, ...steps]));
      // The limit is the fastest of many runs already; twice finds a disturbed one.
      if (round < 2) products[checkpointing].push(measure('node', ['build/bench/products.js', ...mode]));
    }
    if (python) theirs.push(measure(python, ['bench/peftBaseline.py', ...common, ...steps]));
    console.error(`${model} ${batch}×${length}: round ${round + 1} of ${rounds}`);
  }
  const step = (runs) => median(runs.flatMap((run) => run.stepSeconds));
  const best = (runs) => Math.min(...runs.flatMap((run) => run.stepSeconds));
  const row = { model, batch, length, ours: {}, theirs: null };
  for (const mode of ['selective', 'none']) {
    const seconds = step(ours[mode]);
    const limit = Math.min(...products[mode].map((p) => p.seconds));
    row.ours[mode] = {
      seconds,
      best: best(ours[mode]),
      tokensPerSecond: (batch * length) / seconds,
      peak: median(ours[mode].map((run) => run.peakRssBytes)),
      activations: median(ours[mode].map((run) => run.activationPeakBytes)),
      limit,
      gflops: products[mode][0].flops / limit / 1e9,
      share: limit / seconds,
      bestShare: limit / best(ours[mode]),
      nodes: products[mode][0].nodes,
    };
  }
  if (theirs.length > 0) {
    const seconds = step(theirs);
    row.theirs = {
      seconds,
      best: best(theirs),
      tokensPerSecond: (batch * length) / seconds,
      peak: median(theirs.map((run) => run.peakRssBytes)),
      imported: median(theirs.map((run) => run.importedRssBytes ?? 0)),
      versions: theirs[0].versions,
    };
  }
  row.versions = ours.selective[0].versions;
  row.profile = measure('node', ['build/bench/profile.js', ...common]);
  row.date = new Date().toISOString().slice(0, 10);
  row.rounds = rounds;
  row.steps = ours.selective[0].stepSeconds.length;
  writeFileSync(`${root}build/bench/${nameOf(row)}.json`, JSON.stringify(row));
}
const results = all
  .map((one) => `${root}build/bench/${nameOf(one)}.json`)
  .filter(existsSync)
  .map((file) => JSON.parse(readFileSync(file, 'utf8')));

const number = (value, digits = 0) =>
  value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const ratio = (value) => `${value.toFixed(2)}×`;
const against = results.map((r) => {
  const lines = ['selective', 'none'].map((mode) => {
    const o = r.ours[mode];
    const t = r.theirs;
    return `| ${r.model} | ${r.batch} × ${r.length} | ${mode} | ${number(o.tokensPerSecond)} | ${t ? number(t.tokensPerSecond) : '–'} | ${
      t ? ratio(o.tokensPerSecond / t.tokensPerSecond) : '–'
    } | ${t ? ratio(t.best / o.best) : '–'} | ${t ? ratio(t.best / o.limit) : '–'} | ${mib(o.peak)} | ${t ? mib(t.peak) : '–'} | ${t ? ratio(o.peak / t.peak) : '–'} | ${t ? ratio(o.peak / Math.max(1, t.peak - t.imported)) : '–'} |`;
  });
  return lines.join('\n');
});
const limits = results.map((r) =>
  ['selective', 'none']
    .map((mode) => {
      const o = r.ours[mode];
      return `| ${r.model} | ${r.batch} × ${r.length} | ${mode} | ${o.nodes} | ${number(o.seconds * 1000)} | ${number(o.best * 1000)} | ${number(
        o.limit * 1000,
      )} | ${number(o.gflops)} | ${number(o.share * 100)} % | ${number(o.bestShare * 100)} % | ${mib(o.activations)} |`;
    })
    .join('\n'),
);
const profiled = results.filter((r) => r.profile);
const operators = [...new Set(profiled.flatMap((r) => r.profile.table.slice(0, 10).map((row) => row.op)))];
const cell = (r, op) => {
  const row = r.profile.table.find((one) => one.op === op);
  return row ? `${number(row.milliseconds, 1)} (${row.nodes})` : '–';
};
const profiles = [
  `| operator | ${profiled.map((r) => `${r.model} ${r.batch} × ${r.length}`).join(' | ')} |`,
  `| --- |${profiled.map(() => ' --: |').join('')}`,
  ...operators.map((op) => `| ${op} | ${profiled.map((r) => cell(r, op)).join(' | ')} |`),
  `| all | ${profiled.map((r) => number(r.profile.milliseconds)).join(' | ')} |`,
].join('\n');
const versions = results[0];
const text = `# Results

Made by \`npm run bench\` on ${results.at(-1).date}. LoRA r=8 on all linears, fp32, AdamW, every token trained, ${threads} threads, 1–2 rounds of alternating processes with 4–6 measured steps each; medians over all steps unless a column says best.

Machine: ${cpus()[0].model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB. Node ${versions.versions.node}, ONNX Runtime ${versions.versions.runtime}${
  versions.theirs
    ? `, ${Object.entries(versions.theirs.versions)
        .map(([k, v]) => `${k} ${v}`)
        .join(', ')}`
    : ''
}.

## Against PEFT + PyTorch

| model | batch | our checkpointing | tokens/s | PEFT's | ratio | best steps | ceiling | peak MiB | PEFT's | ratio | ratio without the imports |
| --- | --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
${against.join('\n')}

"Best steps" compares the fastest step of each side: what remains when the machine's other work is left out. "Ceiling" is PEFT's fastest step against the time of our step's matrix products alone: no program that does these products with ORT can be faster against PyTorch than that. Both sides do the same products in fp32 at about the same rate, so a ratio of 2 is out of reach on this machine; what can be won is everything around the products.

"Without the imports" leaves out of PEFT's peak what Python holds after importing torch, transformers and peft, and leaves all of ours in.

## Against the limit

The limit is the time that ORT takes for the step's own matrix products alone, the same shapes and transposes, each at its fastest. Share = limit / step.

| model | batch | checkpointing | nodes | step ms | best | products ms | GFLOP/s | share | of the best step | activations MiB |
| --- | --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |
${limits.join('\n')}

## Where the time goes

The runtime's profile of the gradient program (selective checkpointing), milliseconds of the fastest run, by operator.

${profiles}
${factorisations()}`;
writeFileSync(`${root}bench/RESULTS.md`, text);
console.log(text);

/** What bench/factorisations.mjs wrote stays, and what follows it. */
function factorisations() {
  const path = `${root}bench/RESULTS.md`;
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const start = before.indexOf('## Factorisations');
  return start < 0 ? '' : `\n${before.slice(start)}`;
}
