// Makes the VSIX for one platform: `node scripts/package.mjs [--target linux-x64]`. Only that platform's native binaries go
// in. The bundles are built anew, the package is put together in a folder of its own, and its size is printed.
import { cpSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copyNatives, listFiles, readJson } from './natives.mjs';
import { install, root, run } from './setup.mjs';

install();
const given = process.argv.indexOf('--target');
const target = given >= 0 ? process.argv[given + 1] : `${process.platform}-${process.arch}`;
const [platform, arch] = target.split('-');
const stage = join(root, 'build', 'package');
const manifest = readJson(join(root, 'package.json'));

run('node', ['scripts/build.mjs']);
rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

/** Everything that .vscodeignore lets through, copied, so that nothing of the project itself is changed. */
const shipped = [
  'dist',
  'media',
  'schemas',
  'package.nls.json',
  'l10n',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  '.vscodeignore',
];
for (const name of shipped) {
  if (existsSync(join(root, name)))
    cpSync(join(root, name), join(stage, name), {
      recursive: true,
      filter: (path) => !path.endsWith('.map'),
    });
}
cpSync(join(root, 'samples'), join(stage, 'samples'), {
  recursive: true,
  filter: (path) => !path.endsWith('.mjs') && !/[\\/](story|runs|pretrain[^\\/]*)$/.test(path),
});

const kept = copyNatives(stage, platform, arch);
const { devDependencies: _unused, scripts: _scripts, private: _private, bin: _bin, ...rest } = manifest;
writeFileSync(join(stage, 'package.json'), `${JSON.stringify({ ...rest, dependencies: kept }, null, 2)}\n`);

const file = join(root, `lora-workbench-${target}-${manifest.version}.vsix`);
const packageScript = [
  join(root, 'node_modules/@vscode/vsce/vsce'),
  'package',
  ...['--target', target, '--out', file],
  '--skip-license',
  '--allow-missing-repository',
  // There is no address that the README's relative links could lead to.
  '--no-rewrite-relative-links',
  '--allow-star-activation',
];
run('node', packageScript, { cwd: stage });
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
console.log(`\n${file}: ${megabytes(statSync(file).size)}`);
const largest = listFiles(stage)
  .sort((a, b) => b.bytes - a.bytes)
  .slice(0, 8);
for (const { path, bytes } of largest)
  console.log(`  ${megabytes(bytes).padStart(9)}  ${path.slice(stage.length + 1)}`);
