// Program `KERNEL FILE`: the shared library of a kernel, translated from the PTX that EMULATED_CUDA_PTX holds, with an index.
import { spawnSync } from 'node:child_process';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelSource } from './ptx/kernel';

const [name, file] = process.argv.slice(2) as [string, string];
const folder = process.env.EMULATED_CUDA_PTX!;
const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Record<string, string>;
const module = index[name];
if (module === undefined) {
  console.error(`No PTX of kernel ${name}.`);
  process.exit(1);
}
const own = `${file}.${process.pid}`;
try {
  writeFileSync(`${own}.c`, kernelSource(readFileSync(join(folder, module), 'latin1'), name));
} catch (problem) {
  console.error(`${name} (${module}): ${(problem as Error).message}`);
  process.exit(1);
}
const flags = [
  '-shared',
  '-fPIC',
  '-O1',
  '-w',
  '-march=native',
  '-ffp-contract=off',
  '-fno-strict-aliasing',
  '-fwrapv',
];
const include = `-I${process.env.EMULATED_CUDA_NATIVE}`;
const done = spawnSync('cc', [...flags, include, `${own}.c`, '-o', own, '-lm'], { encoding: 'utf8' });
if (done.status !== 0) {
  console.error(`${name} (${module}, ${own}.c): ${done.stderr.slice(0, 2000)}`);
  process.exit(1);
}
rmSync(`${own}.c`);
renameSync(own, file);
