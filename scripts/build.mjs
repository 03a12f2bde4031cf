// Bundles the programs, the extension and its panels into dist/ and, with --tests, every test file into build/test/.
// Native packages stay outside the bundles.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';
import { nodeBundle } from './bundle.mjs';
import { globSync } from './glob.mjs';
import { root } from './setup.mjs';

const common = { ...nodeBundle, sourcemap: true };

/** The engine's parts are a file of their own that the extension loads when it first needs them. */
const engineApart = {
  name: 'engine-apart',
  setup({ onResolve }) {
    onResolve({ filter: /\/engineParts$/ }, () => ({ path: './engineParts.js', external: true }));
  },
};

const programs = { cli: 'src/cli/main.ts', trainer: 'src/trainer/main.ts' };
await build({ ...common, entryPoints: programs, outdir: 'dist' });
await build({ ...common, entryPoints: { engineParts: 'src/extension/engineParts.ts' }, outdir: 'dist' });
// Threads of the extension host: what computes for a panel.
await build({ ...common, entryPoints: globSync('src/extension/webviews', /Worker\.ts$/), outdir: 'dist' });
await build({
  ...common,
  entryPoints: { extension: 'src/extension/extension.ts' },
  outdir: 'dist',
  plugins: [engineApart],
});

// A panel is a folder of webview/ with main.ts, which imports its own style sheet.
const panels = readdirSync(`${root}webview`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${root}webview/${entry.name}/main.ts`))
  .map((entry) => entry.name);
if (panels.length > 0) {
  await build({
    ...common,
    platform: 'browser',
    target: 'es2022',
    format: 'iife',
    minify: true,
    external: [],
    entryPoints: Object.fromEntries(panels.map((name) => [name, `webview/${name}/main.ts`])),
    outdir: 'dist/webview',
    loader: { '.ttf': 'file', '.woff2': 'file', '.svg': 'dataurl' },
    assetNames: '[name]',
  });
}

if (process.argv.includes('--tests')) {
  rmSync(`${root}build/test`, { recursive: true, force: true });
  const tests = globSync('test', /\.test\.ts$/);
  await build({
    ...common,
    entryPoints: [
      ...tests.filter((file) => !file.startsWith('test/vscode/')),
      // Programs of scripts/emulatedCuda.mjs.
      'test/emulatedCuda/fetch.ts',
      'test/emulatedCuda/prepare.ts',
      'test/emulatedCuda/translateKernel.ts',
    ],
    outdir: 'build/test',
    outbase: 'test',
  });
}
if (process.argv.includes('--tests') || process.argv.includes('--vscode-tests')) {
  // The suite runs inside the editor; mocha comes from its own package there.
  rmSync(`${root}build/vscode`, { recursive: true, force: true });
  await build({
    ...common,
    external: [...common.external, 'mocha'],
    entryPoints: globSync('test/vscode', /(\.test|index|makeWorkspace)\.ts$/),
    outdir: 'build/vscode',
    outbase: 'test/vscode',
  });
}
