// Writes l10n/bundle.l10n.json: every text that the extension's code gives to l10n.t. A translation is a copy of it as
// bundle.l10n.<language>.json; package.nls.<language>.json is the same for the manifest.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { globSync } from './glob.mjs';
import { root } from './setup.mjs';

const call = /\bl10n\s*\.t\(\s*('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`[^`$]*`)/g;
const texts = new Set();
for (const path of globSync('src/extension', /\.ts$/)) {
  // The literal of our own source, read as the language reads it.
  for (const [, text] of readFileSync(join(root, path), 'utf8').matchAll(call))
    texts.add(new Function(`return ${text}`)());
}
mkdirSync(join(root, 'l10n'), { recursive: true });
const bundle = Object.fromEntries([...texts].sort().map((text) => [text, text]));
writeFileSync(join(root, 'l10n', 'bundle.l10n.json'), `${JSON.stringify(bundle, null, 2)}\n`);
