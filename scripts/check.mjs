// Every static check: format and lint, types.
import { install, run } from './setup.mjs';

install();
run('npx', ['--no-install', 'biome', 'check', '.']);
run('npx', ['--no-install', 'tsc', '-p', '.']);
