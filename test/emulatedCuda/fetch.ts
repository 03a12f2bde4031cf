// Program `FOLDER`: what the emulated device is made of, from PyPI into FOLDER: `runtime`, ONNX Runtime's libraries of the newest
// version whose CUDA provider holds its kernels as PTX too, and `ptx`, that text. What is there already stays.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { memberName, openContainer } from '../../src/engine/cuda/archive';
import { copyMember } from '../../src/engine/cuda/copyMember';
import { download } from '../../src/engine/cuda/download';
import { type Download, newestWheel, sourcesFor } from '../../src/engine/cuda/sources';

/** 1.29 and newer hold machine code alone. */
const version = '1.28.0';
const folder = resolve(process.argv[2]!);
const { signal } = new AbortController();

async function take(file: Download, wants: RegExp, to: string): Promise<void> {
  console.log(`Fetching ${file.name}`);
  const path = await download(file, folder, { signal, onProgress: () => {} });
  const container = await openContainer(path, (member) => wants.test(member));
  mkdirSync(to, { recursive: true });
  for (const member of container.members)
    await copyMember(member, join(to, memberName(member.path)), '', signal);
  container.close();
  rmSync(path);
}

async function main(): Promise<void> {
  const runtime = join(folder, 'runtime');
  const ptx = join(folder, 'ptx');
  if (!existsSync(runtime)) {
    const source = sourcesFor('linux-x64', process.env).find(({ name }) => name.startsWith('PyPI'))!;
    const aside = `${runtime}.new`;
    await take(
      await source.find(version, signal),
      /\/libonnxruntime(\.so|_providers_(cuda|shared)\.so)/,
      aside,
    );
    renameSync(aside, runtime);
  }
  if (existsSync(ptx)) return;
  const tools = join(folder, 'tools');
  const file = await newestWheel('nvidia-cuda-cuobjdump', 13, 'linux-x64', process.env, signal);
  await take(file, /\/bin\/cuobjdump$/, tools);
  const program = join(tools, 'cuobjdump');
  chmodSync(program, 0o755);
  const aside = `${ptx}.new`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside);
  console.log('Taking the kernels’ text out of the provider');
  const provider = join(runtime, 'libonnxruntime_providers_cuda.so');
  const done = spawnSync(program, ['-xptx', 'all', provider], { cwd: aside, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`cuobjdump: ${done.stderr || done.error?.message}`);
  renameSync(aside, ptx);
}

main().catch((problem: Error) => {
  console.error(problem.message);
  process.exit(1);
});
