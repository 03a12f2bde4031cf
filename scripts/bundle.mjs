// TypeScript programs → files that node runs; native packages stay outside. Loads the bundler when it is called, so that a
// fresh clone can install it first.
import { root } from './setup.mjs';

export const nodeBundle = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  logLevel: 'warning',
  external: ['koffi', 'onnxruntime-node', 'vscode'],
};

/** Bundles programs of bench/ into build/bench. */
export async function bundleBench(entryPoints) {
  const { build } = await import('esbuild');
  await build({ ...nodeBundle, entryPoints, outdir: 'build/bench' });
}
