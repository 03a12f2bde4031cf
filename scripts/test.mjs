// The test command: installs, checks, builds and runs every test, then the extension in a real VS Code: its suites inside the
// extension host, its panels in a browser, and the VSIX installed. Arguments are name filters for test files; with them the
// editor stays closed, unless one is `vscode`, `browser` or `package`.
import { globSync } from './glob.mjs';
import { install, root, run } from './setup.mjs';

install();
const filters = process.argv.slice(2);
if (filters.length === 0) run('node', ['scripts/check.mjs']);
run('node', ['scripts/build.mjs', '--tests']);
const files = globSync('build/test', /\.test\.js$/).filter(
  (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
);
const editor = {
  vscode: ['test.mjs'],
  browser: ['ui.mjs'],
  package: ['packaged.mjs'],
};
const opened = Object.keys(editor).filter((name) => filters.length === 0 || filters.includes(name));
if (files.length === 0 && opened.length === 0) {
  console.error(`No test file matches ${filters.join(', ')}.`);
  process.exit(2);
}
// Two at a time: most tests use every core by themselves.
if (files.length > 0)
  run('node', ['--enable-source-maps', '--test', '--test-concurrency=2', ...files], { cwd: root });
for (const name of opened) {
  const [script, ...args] = editor[name];
  run('node', [`scripts/vscode/${script}`, ...args]);
}
