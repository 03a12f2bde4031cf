// Program `PROVIDER PTX FOLDER`: lays out in FOLDER a runtime whose CUDA provider (PROVIDER holds its libraries and ONNX Runtime's own,
// PTX its kernels' text) runs on this machine's CPU. Prints the environment that it runs under, as JSON.
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { runtimeVariable } from '../../src/engine/cuda/runtimePackage';
import { standIns } from './standIns';

const [provider, ptx, out] = process.argv.slice(2).map((path) => resolve(path)) as [string, string, string];
rmSync(out, { recursive: true, force: true });
const runtime = join(out, 'onnxruntime-node');
const libraries = join(runtime, 'bin', 'napi-v6', 'linux', 'x64');
mkdirSync(libraries, { recursive: true });
const library = readdirSync(provider).find((name) => /^libonnxruntime\.so\.\d+\.\d+/.test(name));
if (!library) throw new Error(`${provider} holds no libonnxruntime.so.`);
symlinkSync(join(provider, library), join(libraries, 'libonnxruntime.so.1'));
const version = library.slice('libonnxruntime.so.'.length);
writeFileSync(join(runtime, 'package.json'), JSON.stringify({ name: 'onnxruntime-node', version }));
process.env[runtimeVariable] = runtime;
standIns(join(out, 'cuda'), provider);

const commands = join(out, 'bin');
mkdirSync(commands);
cpSync(join('test', 'emulatedCuda', 'nvidia-smi'), join(commands, 'nvidia-smi'));

const program = join(__dirname, 'translateKernel.js');
const native = resolve('test', 'emulatedCuda', 'native');
const headers = readdirSync(native).filter((name) => name.endsWith('.h'));
const hash = createHash('sha256');
for (const file of [program, ...headers.map((name) => join(native, name))]) hash.update(readFileSync(file));
const made = hash.digest('hex').slice(0, 16);
const kernels = resolve('build', 'emulatedCuda', 'kernels', made);
mkdirSync(kernels, { recursive: true });
// Neither a build of the tests nor an edit must change what kernels already in hand are made with.
cpSync(program, join(kernels, 'translateKernel.js'));
for (const name of headers) cpSync(join(native, name), join(kernels, name));
if (!existsSync(join(ptx, 'index.json'))) writeFileSync(join(ptx, 'index.json'), JSON.stringify(index()));

const names = [
  runtimeVariable,
  'LORA_WORKBENCH_CUDA_FOLDER',
  'LORA_WORKBENCH_CUDA_LIBRARIES',
  'EMULATED_CUDA_TRACE',
];
const environment = {
  ...Object.fromEntries(names.map((name) => [name, process.env[name]])),
  EMULATED_CUDA_PTX: ptx,
  EMULATED_CUDA_NATIVE: kernels,
  EMULATED_CUDA_KERNELS: kernels,
  EMULATED_CUDA_TRANSLATE: `'${process.execPath}' '${join(kernels, 'translateKernel.js')}'`,
  CONTRACT_DEVICE: 'cuda',
  PATH: `${commands}:${process.env.PATH}`,
};
console.log(JSON.stringify(environment));

/** The module that holds each kernel. */
function index(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const file of readdirSync(ptx).filter((name) => name.endsWith('.ptx'))) {
    const text = readFileSync(join(ptx, file), 'latin1');
    for (const [, name] of text.matchAll(/\.entry\s+([\w$]+)/g)) found[name!] ??= file;
  }
  return found;
}
