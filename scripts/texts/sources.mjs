// Our own source as syntax trees, by TypeScript's parser. It knows nothing of texts.
import { join } from 'node:path';
import { API } from 'typescript/unstable/sync';
import { root } from '../setup.mjs';

const base = root.replace(/[\\/]$/, '');

/**
 * Calls `use` with the files of a project below one of its folders, as `{ path, file }`. `changed` (path → text) stands for
 * files as they might be, so that a check can be seen to fail.
 */
export function withSources(config, folder, use, changed = {}) {
  const overlay = new Map(Object.entries(changed).map(([path, text]) => [posix(join(base, path)), text]));
  const api = new API({ cwd: base, fs: { readFile: (path) => overlay.get(posix(path)) } });
  try {
    const [project] = api.updateSnapshot({ openProjects: [join(base, config)] }).getProjects();
    const start = `${posix(base)}/`;
    const files = project.program
      .getSourceFileNames()
      .map(posix)
      .filter((name) => name.startsWith(`${start}${folder}/`) && name.endsWith('.ts'))
      .sort()
      .map((name) => ({ path: name.slice(start.length), file: project.program.getSourceFile(name) }));
    if (files.length === 0) throw new Error(`${config} has no file below ${folder}.`);
    return use(files);
  } finally {
    api.close();
  }
}

/** `webview/run/main.ts:12`. */
export function placeOf({ path, file }, node) {
  return `${path}:${file.text.slice(0, node.getStart()).split('\n').length}`;
}

/** Calls `visit` with a node and everything below it. */
export function walk(node, visit) {
  visit(node);
  node.forEachChild((child) => {
    walk(child, visit);
  });
}

function posix(path) {
  return path.replaceAll('\\', '/');
}
