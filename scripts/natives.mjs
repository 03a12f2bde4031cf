// The native packages as a distribution needs them: one platform's libraries and the scripts that load them, nothing that
// only their own installation uses.
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './setup.mjs';

/**
 * Copies them below `stage`/node_modules. Ends the process where the platform's binaries are not installed here.
 * @returns their versions by name
 */
export function copyNatives(stage, platform, arch) {
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
        `${name} is not installed, so there is no package for ${platform}-${arch}. Run npm ci on that platform.`,
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
  return kept;
}

export function listFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, bytes: statSync(path).size }));
}

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
