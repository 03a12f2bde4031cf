// Runs the mocha suite inside a real VS Code: the one that VSCODE_EXECUTABLE_PATH names, else the browser-based one, else a
// downloaded desktop one. Three starts: the main suite, a second window on the run that the first left going, and a folder
// that is not trusted. Arguments are filters for test titles; `--suite=main` runs one of the three, `--packaged`
// takes what the VSIX holds in place of the project. The last line counts.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTests } from '@vscode/test-electron';
import { install, root, run } from '../setup.mjs';
import { ensureInstalled, HarnessUnavailable } from './install.mjs';

install();
const executable = findExecutable();
run('node', ['scripts/build.mjs', '--vscode-tests']);
const packaged = process.argv.includes('--packaged');
if (packaged) run('node', ['scripts/package.mjs']);
const extension = packaged ? join(root, 'build', 'package') : root;

const scratch = mkdtempSync(join(tmpdir(), 'lwtest-'));
const workspace = join(scratch, 'workspace');
const filter = process.argv
  .slice(2)
  .filter((argument) => !argument.startsWith('--'))
  .join(' ');
const only = process.argv.find((argument) => argument.startsWith('--suite='))?.slice('--suite='.length);
const counts = { passed: 0, failed: 0 };
try {
  run('node', ['build/vscode/makeWorkspace.js', workspace]);
  // The second suite goes on with what the first left, so both keep their state in one place.
  await suite('main', { trusted: true });
  await suite('reattach', { trusted: true });
  await suite('restricted', { trusted: false });
} finally {
  endLeftovers();
  rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
}
console.log(`\nVS Code: ${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);

/** An executable that takes the arguments of `code`; undefined for the download. */
function findExecutable() {
  const given = process.env.VSCODE_EXECUTABLE_PATH;
  if (given) return given;
  try {
    ensureInstalled();
    return join(root, 'scripts/vscode/codeInBrowser.mjs');
  } catch (error) {
    if (!(error instanceof HarnessUnavailable)) throw error;
    if (process.platform === 'linux' && !process.env.DISPLAY) {
      console.log(
        `VS Code tests skipped: ${error.message}, and without a display the desktop one does not start.`,
      );
      process.exit(0);
    }
    return undefined;
  }
}

async function suite(name, { trusted }) {
  if (only !== undefined && only !== name) return;
  console.log(`\nVS Code suite: ${name}`);
  const results = join(scratch, `${name}.json`);
  // Restricted mode starts afresh: what a trusted window leaves open belongs to it.
  const userData = join(scratch, trusted ? 'user' : 'restricted');
  mkdirSync(join(userData, 'User'), { recursive: true });
  const settings = {
    'security.workspace.trust.enabled': !trusted,
    'security.workspace.trust.startupPrompt': 'never',
    'security.workspace.trust.emptyWindow': false,
    'loraWorkbench.openRunOnStart': false,
  };
  writeFileSync(join(userData, 'User/settings.json'), JSON.stringify(settings));
  const env = { LORA_SUITE: name, LORA_RESULTS: results, LORA_WORKSPACE: workspace, LORA_FILTER: filter };
  const launchArgs = [
    workspace,
    `--user-data-dir=${userData}`,
    `--extensions-dir=${join(scratch, 'extensions')}`,
  ];
  const tests = join(root, 'build/vscode/index.js');
  try {
    // test-electron switches Workspace Trust off, which is what the last suite is about.
    if (trusted || executable === undefined) {
      const options = {
        extensionDevelopmentPath: extension,
        extensionTestsPath: tests,
        launchArgs,
        extensionTestsEnv: env,
      };
      await runTests(executable === undefined ? options : { ...options, vscodeExecutablePath: executable });
    } else
      await launch(
        [...launchArgs, `--extensionDevelopmentPath=${extension}`, `--extensionTestsPath=${tests}`],
        env,
      );
  } catch (error) {
    if (!existsSync(results)) console.error(String(error));
  }
  const list = existsSync(results) ? JSON.parse(readFileSync(results, 'utf8')) : [];
  if (list.length === 0) {
    console.log(`  ✖ the suite ${name} gave no result`);
    counts.failed++;
  }
  for (const { title, error, milliseconds } of list) {
    console.log(`  ${error === undefined ? '✔' : '✖'} ${title} (${milliseconds} ms)`);
    if (error !== undefined) console.log(error.replaceAll(/^/gm, '      '));
    counts[error === undefined ? 'passed' : 'failed']++;
  }
}

function launch(args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(executable, ['--no-sandbox', '--disable-updates', '--skip-welcome', ...args], {
      stdio: 'inherit',
      env: { ...process.env, ...env },
    });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))));
  });
}

/** A suite that failed half-way may have left a training behind: its process is named in the workspace's run locks. */
function endLeftovers() {
  const list = join(scratch, 'pids.json');
  if (!existsSync(list)) return;
  for (const pid of JSON.parse(readFileSync(list, 'utf8'))) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended as it should.
    }
  }
}
