// Makes the VSIX for one platform: `node scripts/package.mjs [--target linux-x64]`. Only that platform's native binaries go
// in. The bundles are built anew, the package is put together in a folder of its own, and its size is printed.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
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
  filter: (path) => !path.endsWith('.mjs') && !/[\\/](story|pretrain[^\\/]*)$/.test(path),
});

/** What is needed at run time of the native packages: the one platform's libraries, and the scripts that load them. */
const natives = {
  // Its library alone is used; its own binding is not.
  'onnxruntime-node': (path) =>
    path === 'package.json' ||
    (path.startsWith(`bin/napi-v6/${platform}/${arch}/`) && !path.endsWith('.node')),
  koffi: (path) =>
    /^(package\.json|LICENSE\.txt|(index|indirect)\.c?js|src\/koffi\/[^/]*\.c?js|src\/koffi\/src\/[^/]*\.c?js)$/.test(
      path,
    ),
  [`@koromix/koffi-${platform}-${arch}`]: (path) => !path.startsWith('musl_'),
};
const kept = {};
for (const [name, wanted] of Object.entries(natives)) {
  const from = join(root, 'node_modules', name);
  if (!existsSync(from)) {
    console.error(
      `${name} is not installed, so there is no package for ${target}. Run npm ci on that platform.`,
    );
    process.exit(2);
  }
  for (const file of listFiles(from).map(({ path }) => relative(from, path).replaceAll('\\', '/'))) {
    if (wanted(file))
      cpSync(join(from, file), join(stage, 'node_modules', name, file), { dereference: true });
  }
  // What these packages need for their own installation is not shipped.
  const {
    dependencies: _needed,
    optionalDependencies: _optional,
    scripts: _steps,
    ...own
  } = readJson(join(from, 'package.json'));
  writeFileSync(join(stage, 'node_modules', name, 'package.json'), JSON.stringify(own, null, 2));
  kept[name] = own.version;
}
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

function listFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, bytes: statSync(path).size }));
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
