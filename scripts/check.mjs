// Every static check: format and lint, types of the engine, the extension and the panels, texts.
import { install, run } from './setup.mjs';

install();
run('npx', ['--no-install', 'biome', 'check', '.']);
for (const project of ['tsconfig.json', 'tsconfig.extension.json', 'tsconfig.webview.json'])
  run('npx', ['--no-install', 'tsc', '-p', project]);
run('node', ['scripts/texts.mjs', '--check']);
