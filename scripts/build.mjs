// Bundles the programs into dist/ and, with --tests, every test file into build/test/. Native packages stay outside the bundles.
import { rmSync } from 'node:fs';
import { build } from 'esbuild';
import { globSync } from './glob.mjs';
import { root } from './setup.mjs';

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: true,
  logLevel: 'warning',
  external: ['koffi', 'onnxruntime-node', 'vscode'],
};

const programs = { cli: 'src/cli/main.ts', trainer: 'src/trainer/main.ts' };
await build({ ...common, entryPoints: programs, outdir: 'dist' });

if (process.argv.includes('--tests')) {
  rmSync(`${root}build/test`, { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: globSync('test', /\.test\.ts$/),
    outdir: 'build/test',
    outbase: 'test',
  });
}
