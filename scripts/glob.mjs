// Lists the files below a folder whose path matches a pattern, sorted, relative to the project root.
import { readdirSync } from 'node:fs';
import { root } from './setup.mjs';

export function globSync(folder, pattern) {
  const found = [];
  const walk = (dir) => {
    for (const entry of readdirSync(`${root}${dir}`, { withFileTypes: true })) {
      const path = `${dir}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (pattern.test(path)) found.push(path);
    }
  };
  walk(folder);
  return found.sort();
}
