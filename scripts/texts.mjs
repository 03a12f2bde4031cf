// Writes l10n/bundle.l10n.json: every text that the extension and its panels say, as their calls of l10n.t, t and plural hold
// it. With --check it writes nothing and fails where the bundle is stale, or where a panel shows a text that goes through none
// of them. A translation is a copy of the bundle as bundle.l10n.<language>.json; package.nls.<language>.json is the same for
// the manifest.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';
import { bareTexts } from './texts/bare.mjs';
import { saidIn } from './texts/said.mjs';
import { withSources } from './texts/sources.mjs';

const said = [
  ...withSources('tsconfig.extension.json', 'src/extension', (sources) => sources.map(saidIn)),
  ...withSources('tsconfig.webview.json', 'webview', (sources) => sources.map(saidIn)),
];
const mistakes = said.flatMap((file) => file.mistakes);
const texts = [...new Set(said.flatMap((file) => file.texts))].sort();
const bundle = `${JSON.stringify(Object.fromEntries(texts.map((text) => [text, text])), null, 2)}\n`;
const path = join(root, 'l10n', 'bundle.l10n.json');

if (process.argv.includes('--check')) {
  mistakes.push(...withSources('tsconfig.webview.json', 'webview', bareTexts));
  if (readFileSync(path, 'utf8').replaceAll('\r\n', '\n') !== bundle)
    mistakes.push('l10n/bundle.l10n.json is stale: node scripts/texts.mjs writes it');
} else {
  mkdirSync(join(root, 'l10n'), { recursive: true });
  writeFileSync(path, bundle);
}
for (const mistake of mistakes) console.error(mistake);
if (mistakes.length > 0) process.exitCode = 1;
