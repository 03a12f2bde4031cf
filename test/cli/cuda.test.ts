// doctor --install-cuda from end to end in the real programs: from a local index and a wheel, cancelled and gone on with, and
// a terminal's training on a device that another run has.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isSupported } from '../../src/engine/cuda/report';
import { runtimePackage } from '../../src/engine/cuda/runtimePackage';
import { installationFolder, providerNames, storageFolder } from '../../src/engine/cuda/storage';
import type { InstallCudaDocument } from '../../src/protocol/cuda';
import { tryDeviceLock } from '../../src/trainer/deviceLock';
import { type FileServer, fileServer } from '../engine/cuda/fileServer';
import { elf, zip } from '../engine/cuda/libraryFiles';
import { scratch } from '../engine/files/scratch';

const skip = process.platform !== 'linux' || !isSupported(process.platform, process.arch);
const cli = join(process.cwd(), 'dist', 'cli.js');
const { version } = runtimePackage();
const [main, shared] = providerNames('linux').bridge as [string, string];
const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const wheelName = `onnxruntime_gpu-${version}-cp312-cp312-manylinux_2_28_${arch}.whl`;
/** Needs a library that no machine has, so that no step is tried where there is a GPU. */
const wheel = zip([
  {
    name: `onnxruntime/capi/${main}`,
    content: elf({
      needed: ['libcudart.so.99'],
      content: Buffer.concat([Buffer.from(`\0${version}\0`), randomBytes(200_000)]),
    }),
  },
  { name: `onnxruntime/capi/${shared}`, content: elf({ name: shared }) },
]);

interface Started {
  child: ChildProcess;
  ended: Promise<{ code: number | null; out: string; err: string }>;
  text(): string;
}

function start(args: readonly string[], env: NodeJS.ProcessEnv): Started {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '', LORA_WORKBENCH_TRAINER: '', ...env },
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    err += text;
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }));
  return { child, ended, text: () => out };
}

/** An index with the wheel, and the environment in which the program finds it. */
async function index(
  t: TestContext,
): Promise<{ server: FileServer; env: NodeJS.ProcessEnv; storage: string }> {
  const server = await fileServer(t, wheel);
  const checksum = createHash('sha256').update(wheel).digest('hex');
  server.pages['/simple/onnxruntime-gpu/'] = `<a href="/file/${wheelName}#sha256=${checksum}">x</a>`;
  const env = {
    XDG_DATA_HOME: await scratch(t),
    LORA_WORKBENCH_CUDA_FOLDER: '',
    LORA_WORKBENCH_NUGET_INDEX: `${server.url}/none`,
    PIP_INDEX_URL: `${server.url}/simple`,
  };
  return { server, env, storage: storageFolder(env, 'linux') };
}

test('fetches, installs, and says why no step was tried', { skip }, async (t) => {
  const { env, storage } = await index(t);
  const { code, out, err } = await start(['doctor', '--install-cuda', '--json'], env).ended;
  assert.equal(code, 0, err);
  const document = JSON.parse(out) as InstallCudaDocument;
  assert.equal(document.changed, true);
  assert.equal(document.folder, installationFolder(storage, version));
  assert.equal(document.device, null);
  assert.match(document.notTried ?? '', /installed; no training step was tried.*libcudart\.so\.99/);
  assert.equal(document.report.ready, false);
  assert.ok(document.report.text.includes('libcudart.so.99: missing'));

  const again = await start(['doctor', '--install-cuda'], env).ended;
  assert.equal(again.code, 0);
  assert.match(again.out, /The files are there already/);
  assert.match(again.out, /provider: ok/);

  // A broken provider ends no process and takes no other device away.
  const all = await start(['doctor', '--device', 'cuda', '--json'], env).ended;
  assert.equal(all.code, 0, all.err);
  const { devices, cuda, runtime } = JSON.parse(all.out);
  assert.equal(runtime, version);
  assert.equal(devices[0].available, false);
  assert.match(devices[0].problem.message, /libcudart\.so\.99 was not found/);
  assert.equal(cuda.providerFolder, document.folder);
});

test('installs a wheel without a network; a wrong one is a mistake of the user', { skip }, async (t) => {
  const { env } = await index(t);
  const offline = {
    ...env,
    PIP_INDEX_URL: 'http://127.0.0.1:1/',
    LORA_WORKBENCH_NUGET_INDEX: 'http://127.0.0.1:1/',
  };
  const folder = await scratch(t);
  writeFileSync(join(folder, wheelName), wheel);
  const { code, out, err } = await start(
    ['doctor', '--install-cuda', '--from', join(folder, wheelName)],
    offline,
  ).ended;
  assert.equal(code, 0, err);
  assert.match(out, /Installed \d+ MB from/);
  writeFileSync(join(folder, 'bad.whl'), wheel.subarray(0, 1000));
  const bad = await start(['doctor', '--install-cuda', '--from', join(folder, 'bad.whl'), '--json'], offline)
    .ended;
  assert.equal(bad.code, 2);
  assert.equal(JSON.parse(bad.err).error.code, 'archive-damaged');
  const none = await start(['doctor', '--install-cuda'], { ...offline, XDG_DATA_HOME: await scratch(t) })
    .ended;
  assert.equal(none.code, 2);
  assert.match(none.err, /cannot be fetched/);
  assert.match(none.err, /--from/);
  const alone = await start(['doctor', '--from', folder], env).ended;
  assert.equal(alone.code, 2);
  assert.match(alone.err, /--install-cuda is missing/);
});

test('Ctrl+C in a download keeps what was fetched, and the next call goes on with it', {
  skip,
}, async (t) => {
  const { server, env, storage } = await index(t);
  server.behaviour = { stalls: true };
  const downloads = join(storage, 'downloads');
  const part = join(downloads, `${wheelName}.part`);
  const { child, ended } = start(['doctor', '--install-cuda'], env);
  while (
    (statSync(part, { throwIfNoEntry: false })?.size ?? 0) < Math.floor(wheel.length / 2) &&
    child.exitCode === null
  )
    await new Promise((resume) => setTimeout(resume, 20));
  child.kill('SIGINT');
  const { code, err } = await ended;
  assert.equal(code, 130, err);
  assert.match(err, /cancelled/);
  server.behaviour = {};
  const again = await start(['doctor', '--install-cuda'], env).ended;
  assert.equal(again.code, 0, again.err);
  assert.equal(server.ranges.at(-1), `bytes=${Math.floor(wheel.length / 2)}-`);
  assert.deepEqual(readdirSync(downloads), []);
});

test('a device that another run has is refused, with its run and another device', async (t) => {
  const folder = await scratch(t, {
    'm/config.json': '{}',
    'd.jsonl': '',
    'a.lora.yaml': 'model: m\ndataset: d.jsonl\ndevice: cuda:61\n',
  });
  const lock = tryDeviceLock('cuda:61', '/runs/the-other');
  assert.ok('release' in lock);
  const { code, err } = await start(['train', join(folder, 'a.lora.yaml')], { CUDA_VISIBLE_DEVICES: '' })
    .ended;
  assert.equal(code, 2, err);
  assert.match(err, new RegExp(`Process ${process.pid} trains on cuda:61 already: /runs/the-other`));
  assert.match(err, /--device cuda:62/);
  lock.release();
  const free = await start(['train', join(folder, 'a.lora.yaml')], { CUDA_VISIBLE_DEVICES: '' }).ended;
  assert.equal(free.code, 2);
  assert.doesNotMatch(free.err, /already/);
});
