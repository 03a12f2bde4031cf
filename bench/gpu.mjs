// `node bench/gpu.mjs`: correctness, speed, memory and utilisation on one GPU, ours and PEFT + PyTorch in alternation, in one
// call, from what `npm run bundle:gpu` packed or from a built clone. Finished parts are kept in the results file and not
// repeated, so that a call may be cut off and made again.
//   --census              no run at all: where the time of a step would go by a roofline model (bench/gpu/census.ts has its options)
//   --dry                 a run of the benchmark itself on the CPU, in a minute: a small model, short texts, one contract file
//   --device cuda:0
//   --only a,b            environment, contracts, ceilings, speed
//   --models a,b          files of bench/models (llama-3.2-1b,llama-3.1-8b)
//   --lengths 512,…  --batches 1,…  --methods lora,qlora  --rounds 2  --steps 8
//   --python PATH         a Python with torch, transformers and peft; where it has none, only our side is measured
//   --scratch FOLDER      checkpoints and runs (the system's temporary folder)
//   --out FILE            results as JSON (gpu-results.json); a table of all of them is printed last
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { randomCheckpoint } from './gpu/randomCheckpoint.mjs';
import { gpuTable } from './gpu/table.mjs';
import { watched } from './gpu/watch.mjs';

if (process.argv.includes('--census')) await census();

const given = parseArgs({
  options: {
    dry: { type: 'boolean', default: false },
    device: { type: 'string', default: 'cuda:0' },
    only: { type: 'string', default: 'environment,contracts,ceilings,speed' },
    models: { type: 'string', default: 'llama-3.2-1b,llama-3.1-8b' },
    lengths: { type: 'string', default: '512,1024,2048' },
    batches: { type: 'string', default: '1,4,8' },
    methods: { type: 'string', default: 'lora,qlora' },
    rounds: { type: 'string', default: '2' },
    steps: { type: 'string', default: '8' },
    python: { type: 'string', default: 'python3' },
    scratch: { type: 'string', default: join(tmpdir(), 'lora-workbench-gpu') },
    out: { type: 'string', default: 'gpu-results.json' },
  },
}).values;
const small = { device: 'cpu', models: 'llama-23m', lengths: '64', batches: '1', rounds: '1', steps: '3' };
const values = given.dry ? { ...given, ...small, methods: 'lora', python: 'none' } : given;
const root = fileURLToPath(new URL('..', import.meta.url));
const list = (text) => text.split(',').filter(Boolean);
const parts = list(values.only);
const scratch = resolve(values.scratch);
mkdirSync(scratch, { recursive: true });
const device = values.device;
const onGpu = device !== 'cpu';
const dtype = onGpu ? 'bfloat16' : 'float32';
const cli = join(root, 'dist/cli.js');
const env = cudaLibraries();

const outFile = resolve(values.out);
const results = existsSync(outFile)
  ? JSON.parse(readFileSync(outFile, 'utf8'))
  : { contracts: {}, speed: {} };
function keep() {
  writeFileSync(`${outFile}.part`, JSON.stringify(results, null, 2));
  renameSync(`${outFile}.part`, outFile);
}

const torch = spawnSync(values.python, ['-c', 'import torch, transformers, peft; print(torch.__version__)'], {
  encoding: 'utf8',
});
const hasTorch = torch.status === 0;
const has4Bit = hasTorch && spawnSync(values.python, ['-c', 'import bitsandbytes']).status === 0;

if (parts.includes('environment')) environment();
if (parts.includes('contracts')) contracts();
if (parts.includes('ceilings')) await ceilings();
if (parts.includes('speed')) await speed();
console.log(`\n${gpuTable(results)}`);

/** A program of the benchmark, made anew in a clone. A bundle has no bundler, but the bundled program. */
async function bundled(top, program) {
  const bundler = join(top, 'scripts/bundle.mjs');
  if (existsSync(bundler)) await (await import(bundler)).bundleBench([program]);
}

/** Ends the process. */
async function census() {
  const top = fileURLToPath(new URL('..', import.meta.url));
  await bundled(top, 'bench/gpu/census.ts');
  const args = process.argv.slice(2).filter((arg) => arg !== '--census');
  const done = spawnSync(process.execPath, [join(top, 'build/bench/census.js'), ...args], {
    cwd: top,
    stdio: 'inherit',
  });
  process.exit(done.status ?? 1);
}

/** CUDA's libraries often lie in a Python environment. The engine finds them there by itself; children of old shells may not. */
function cudaLibraries() {
  const found = spawnSync(
    values.python,
    [
      '-c',
      'import glob, nvidia; print(":".join(p for base in nvidia.__path__ for p in glob.glob(base + "/**/lib", recursive=True)))',
    ],
    { encoding: 'utf8' },
  );
  const folders = [
    process.env.LD_LIBRARY_PATH,
    found.status === 0 ? found.stdout.trim() : '',
    '/usr/local/cuda/lib64',
  ];
  return { LD_LIBRARY_PATH: folders.filter(Boolean).join(':') };
}

function environment() {
  const smi = spawnSync(
    'nvidia-smi',
    ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'],
    { encoding: 'utf8' },
  );
  const doctor = spawnSync(process.execPath, [cli, 'doctor', '--json'], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  results.environment = {
    date: new Date().toISOString().slice(0, 10),
    gpu: smi.status === 0 ? smi.stdout.trim() : null,
    node: process.versions.node,
    torch: hasTorch ? torch.stdout.trim() : null,
    bitsandbytes: has4Bit,
    doctor: doctor.status === 0 ? JSON.parse(doctor.stdout) : doctor.stdout + doctor.stderr,
  };
  keep();
  console.log(JSON.stringify(results.environment, null, 1).slice(0, 3000));
}

/** The same contract tests that CI runs on the CPU, on this device, where an operator that falls back to the CPU is an error. */
function contracts() {
  const folder = join(root, 'build/test/contracts');
  if (!existsSync(folder))
    throw new Error(`${folder} is not there. Build with: node scripts/build.mjs --tests`);
  const files = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
  for (const file of values.dry ? files.filter((name) => name.startsWith('hostWaits')) : files) {
    if (results.contracts[file]?.failed === 0) continue;
    const run = spawnSync(process.execPath, ['--test', '--test-reporter=tap', join(folder, file)], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      timeout: 20 * 60_000,
      env: { ...process.env, ...env, CONTRACT_DEVICE: device },
    });
    const total = (word) => Number(new RegExp(`^# ${word} (\\d+)`, 'm').exec(run.stdout)?.[1] ?? Number.NaN);
    const failures = [...run.stdout.matchAll(/^\s*not ok \d+ - (.*)$/gm)].map((match) => match[1]);
    const messages = [...run.stdout.matchAll(/^\s+error: (?:\|-\n)?\s*(.*)$/gm)].map((match) => match[1]);
    results.contracts[file] = {
      passed: total('pass'),
      failed: total('fail'),
      skipped: total('skipped'),
      failures,
      messages: [...new Set(messages)].slice(0, 40),
    };
    keep();
    console.log(`${file}: ${total('pass')} passed, ${total('fail')} failed`);
  }
}

async function ceilings() {
  await bundled(root, 'bench/ceilings.ts');
  const size = onGpu ? '8192' : '512';
  const run = await watched(
    process.execPath,
    [join(root, 'build/bench/ceilings.js'), '--device', device, '--dtype', dtype, '--size', size],
    { device, timeoutSeconds: 300, env },
  );
  results.ceilings =
    run.status === 0 ? JSON.parse(run.stdout.trim().split('\n').at(-1)) : { error: run.stderr.slice(-2000) };
  keep();
}

async function speed() {
  for (const name of list(values.models)) {
    const configPath = join(root, 'bench/models', `${name}.json`);
    const checkpoint = randomCheckpoint(configPath, join(root, 'samples/base'), join(scratch, name));
    for (const method of list(values.methods)) {
      for (const length of list(values.lengths).map(Number)) {
        for (const batch of list(values.batches).map(Number)) {
          const key = `${name} ${method} ${batch}×${length}`;
          const known = results.speed[key];
          if (known && known.rounds >= Number(values.rounds)) continue;
          const config = JSON.parse(readFileSync(configPath, 'utf8'));
          const row = { name, method, batch, length, config, sides: {}, rounds: 0, forecastBytes: null };
          results.speed[key] = row;
          for (let round = 0; round < Number(values.rounds); round++) {
            for (const [side, measure] of Object.entries(sidesOf(method))) {
              if (row.sides[side]?.error) continue;
              const outcome = await measure({ checkpoint, length, batch, method, key, row });
              const before = row.sides[side] ?? { stepSeconds: [], peakMiB: 0, utilization: [] };
              row.sides[side] = outcome.error
                ? { ...before, error: outcome.error }
                : {
                    stepSeconds: [...before.stepSeconds, ...outcome.stepSeconds],
                    peakMiB: Math.max(before.peakMiB, outcome.peakMiB),
                    ownPeakMiB: outcome.ownPeakMiB,
                    utilization: [...before.utilization, outcome.utilization],
                    ...(outcome.hostWaits === undefined ? {} : { hostWaits: outcome.hostWaits }),
                  };
              keep();
            }
            row.rounds = round + 1;
            keep();
          }
          console.log(gpuTable({ ...results, speed: { [key]: row } }, { rowsOnly: true }));
        }
      }
    }
  }
}

/**
 * What is compared: our two checkpointings, ours with products apart, recorded as CUDA graphs, and with a wait after every run;
 * PyTorch with and without its own checkpointing.
 */
function sidesOf(method) {
  const ours =
    (checkpointing, more = {}) =>
    (given) =>
      measureOurs(given, checkpointing, more);
  const theirs = (flags) => (given) => measureTheirs(given, flags);
  return {
    'ours, selective': ours('selective'),
    'ours, none': ours('none'),
    // What joining products of one activation gains; weights in four bits are never joined.
    ...(onGpu && method === 'lora'
      ? { 'ours, products apart': ours('selective', { LORA_WORKBENCH_JOIN_PRODUCTS: '0' }) }
      : {}),
    // Neither changes what is computed: what recording kernels gains, and what not waiting does.
    ...(onGpu || values.dry
      ? {
          'ours, CUDA graph': ours('selective', { LORA_WORKBENCH_CUDA_GRAPH: 'true' }),
          'ours, a wait a run': ours('selective', { LORA_WORKBENCH_GPU_QUEUE: '0' }),
        }
      : {}),
    ...(hasTorch && (method !== 'qlora' || has4Bit)
      ? { 'PEFT, none': theirs([]), 'PEFT, checkpointing': theirs(['--checkpointing']) }
      : {}),
  };
}

async function measureOurs({ checkpoint, length, batch, method, row }, gradient_checkpointing, more) {
  const run = join(scratch, 'run');
  rmSync(run, { recursive: true, force: true });
  const steps = Number(values.steps);
  const recipe = {
    model: checkpoint,
    dataset: randomText(),
    dtype,
    device,
    adapter: 'lora',
    ...(method === 'qlora'
      ? { load_in_4bit: true, bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true }
      : {}),
    r: 8,
    lora_alpha: 16,
    target_modules: 'all-linear',
    packing: true,
    train_on: 'all',
    max_length: length,
    per_device_train_batch_size: batch,
    gradient_accumulation_steps: 1,
    gradient_checkpointing,
    max_steps: steps + 3,
    lr_scheduler_type: 'constant',
    save_strategy: 'no',
    report_to: 'none',
    output_dir: run,
  };
  const path = join(scratch, 'recipe.lora.json');
  writeFileSync(path, JSON.stringify(recipe));
  if (row.forecastBytes === null) {
    const estimate = spawnSync(process.execPath, [cli, 'estimate', path, '--json'], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    row.forecastBytes = estimate.status === 0 ? JSON.parse(estimate.stdout).deviceBytes : null;
  }
  const done = await watched(process.execPath, [cli, 'train', path, '--json'], {
    device,
    timeoutSeconds: 540,
    env: { ...env, ...more },
  });
  if (done.status !== 0) return { error: messageOf(done) };
  const events = readFileSync(join(run, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const at = events.filter((event) => event.type === 'step');
  const times = at.map((event) => Date.parse(event.time) / 1000);
  return {
    // The time between two steps' ends holds everything: data, upload, compute, update, the event itself.
    stepSeconds: times
      .slice(1)
      .map((time, i) => time - times[i])
      .slice(2),
    peakMiB: done.peakMiB === null ? at.at(-1).peakMemoryBytes / 2 ** 20 : done.peakMiB - done.idleMiB,
    ownPeakMiB: Math.round(at.at(-1).peakMemoryBytes / 2 ** 20),
    utilization: done.utilization,
    // Of the steps that are measured; the median, since a program lets the runtime clean up now and then.
    hostWaits: middle(at.slice(3).map((event) => event.hostWaits)),
  };
}

function middle(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

/** Our program ends stderr with its error as JSON; a crash of the process leaves only what it wrote there. */
function messageOf({ stdout, stderr, status }) {
  try {
    const { code, message } = JSON.parse(stderr.slice(stderr.lastIndexOf('\n{\n') + 1)).error;
    return `${code}: ${message}`;
  } catch {
    return `ended with ${status}: ${(stdout + stderr).trim().slice(-1500)}`;
  }
}

async function measureTheirs({ checkpoint, length, batch, method }, flags) {
  const args = [
    join(root, 'bench/peftBaseline.py'),
    ...['--checkpoint', checkpoint, '--device', onGpu ? 'cuda' : 'cpu', '--dtype', dtype],
    ...[
      '--batch',
      batch,
      '--length',
      length,
      '--steps',
      values.steps,
      '--warmup',
      '3',
      '--threads',
      onGpu ? '8' : '1',
    ],
    ...(method === 'qlora' ? ['--load-4bit'] : []),
    ...flags,
  ];
  const done = await watched(values.python, args.map(String), { device, timeoutSeconds: 540, env: {} });
  if (done.status !== 0) return { error: done.stderr.slice(-1500) };
  const measured = JSON.parse(done.stdout.trim().split('\n').at(-1));
  const own = Math.round((measured.peakDeviceBytes ?? measured.peakRssBytes) / 2 ** 20);
  return {
    stepSeconds: measured.stepSeconds,
    peakMiB: done.peakMiB === null ? own : done.peakMiB - done.idleMiB,
    ownPeakMiB: own,
    utilization: done.utilization,
  };
}

/** Random letters, enough for every case: what is trained on does not change what a step costs. */
function randomText() {
  const path = join(scratch, 'text.txt');
  if (existsSync(path)) return path;
  let state = 7;
  const letter = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const pick = (state >>> 16) % 32;
    return pick < 26 ? String.fromCharCode(97 + pick) : ' ';
  };
  writeFileSync(path, Array.from({ length: 3_000_000 }, letter).join(''));
  return path;
}
