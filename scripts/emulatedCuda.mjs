// Runs ONNX Runtime's own CUDA kernels on this machine's CPU, where there is no GPU: translated from their PTX, behind stand-ins for
// CUDA's libraries (test/emulatedCuda). Arguments: name filters of test files (default: the contracts), or `--` and a command that
// is to find the device, such as `-- node dist/cli.js doctor`. Linux on x64, with a C compiler.
import { spawnSync } from 'node:child_process';
import { globSync } from './glob.mjs';
import { install, root, run } from './setup.mjs';

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error(`The emulated device needs Linux on x64; this is ${process.platform} on ${process.arch}.`);
  process.exit(2);
}
install();
const given = process.argv.slice(2);
const command = given[0] === '--' ? given.slice(1) : undefined;
run('node', ['scripts/build.mjs', '--tests']);
const folder = `${root}build/emulatedCuda`;
const programs = `${root}build/test/emulatedCuda`;
run('node', [`${programs}/fetch.js`, folder]);
const prepared = spawnSync(
  'node',
  [`${programs}/prepare.js`, `${folder}/runtime`, `${folder}/ptx`, `${folder}/device`],
  { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
);
if (prepared.status !== 0) process.exit(prepared.status ?? 1);
const env = { ...process.env, ...JSON.parse(prepared.stdout) };
if (command) run(command[0], command.slice(1), { env });
else {
  const filters = given.length > 0 ? given : ['contracts/'];
  const files = globSync('build/test', /\.test\.js$/).filter((file) =>
    filters.some((filter) => file.includes(filter)),
  );
  run('node', ['--enable-source-maps', '--test', '--test-concurrency=2', ...files], { cwd: root, env });
}
