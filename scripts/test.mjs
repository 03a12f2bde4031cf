// The test command: installs, checks, builds and runs every test, then the extension's suites inside a real VS Code.
// Arguments are name filters for test files; with them the editor stays closed, unless one is `vscode`.
import { globSync } from './glob.mjs';
import { install, root, run } from './setup.mjs';

install();
const filters = process.argv.slice(2);
if (filters.length === 0) run('node', ['scripts/check.mjs']);
run('node', ['scripts/build.mjs', '--tests']);
const files = globSync('build/test', /\.test\.js$/).filter(
  (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
);
const editor = filters.length === 0 || filters.includes('vscode');
if (files.length === 0 && !editor) {
  console.error(`No test file matches ${filters.join(', ')}.`);
  process.exit(2);
}
// Two at a time: most tests use every core by themselves.
if (files.length > 0)
  run('node', ['--enable-source-maps', '--test', '--test-concurrency=2', ...files], { cwd: root });
if (editor) run('node', ['scripts/vscode/test.mjs']);
