// Wiring only: makes the services, registers what package.json contributes, starts looking. The engine is loaded when it is
// first needed, and native code never.
import { join } from 'node:path';
import * as vscode from 'vscode';
import { registerCommands } from './commands';
import { Devices } from './devices';
import { Panels } from './panels/registry';
import { registerRecipeLanguage } from './recipes/language';
import { registerTasks } from './recipes/tasks';
import { Jobs } from './runs/jobs';
import { RunStore } from './runs/runStore';
import type { Services } from './services';
import { readSettings } from './settings';
import { TrainerCalls } from './trainerCalls';
import { AdaptersTree } from './views/adaptersTree';
import { registerComparisons } from './views/comparison';
import { ModelsTree } from './views/modelsTree';
import { RunsTree } from './views/runsTree';
import { showStatus, tellEnd } from './views/status';
import { Library } from './workspace/library';

/** What other extensions and the tests may use. */
export interface Api {
  readonly services: Services;
  /** Milliseconds that activation took. */
  readonly activationMs: number;
  /** Resolves once the first scan is done and running trainings are attached. */
  readonly settled: Promise<void>;
}

export function activate(context: vscode.ExtensionContext): Api {
  const started = performance.now();
  const log = vscode.window.createOutputChannel('LoRA Workbench', { log: true });
  const devices = new Devices(
    () => vscode.workspace.isTrusted,
    () => readSettings().cudaFolder,
  );
  const library = new Library(() => services);
  const runs = new RunStore(log);
  const jobs = new Jobs(join(context.globalStorageUri.fsPath, 'jobs'), () => services);
  const calls = new TrainerCalls(readSettings, log);
  const panels = new Panels(() => services);
  const services: Services = {
    context,
    log,
    devices,
    library,
    runs,
    jobs,
    calls,
    panels,
    get settings() {
      return readSettings();
    },
    get settled() {
      return settled;
    },
  };

  const runsTree = new RunsTree(runs);
  const adaptersTree = new AdaptersTree(library);
  const modelsTree = new ModelsTree(library);
  const runsView = vscode.window.createTreeView('loraWorkbench.runs', { treeDataProvider: runsTree });
  context.subscriptions.push(
    log,
    devices,
    library,
    runs,
    jobs,
    calls,
    runsTree,
    adaptersTree,
    modelsTree,
    runsView,
    vscode.window.createTreeView('loraWorkbench.adapters', { treeDataProvider: adaptersTree }),
    vscode.window.createTreeView('loraWorkbench.models', { treeDataProvider: modelsTree }),
    vscode.window.registerFileDecorationProvider(adaptersTree),
    library.onDidChange((contents) => void runs.setFolders(contents.runs)),
    jobs.onDidEnd((end) => void tellEnd(end, services)),
    showStatus(services, runsView),
    registerComparisons(),
    ...registerCommands(services),
    ...panels.register(),
    ...registerRecipeLanguage(services),
    ...registerTasks(services),
  );

  const settled = settle(services);
  const activationMs = performance.now() - started;
  log.info(`Activated in ${activationMs.toFixed(0)} ms.`);
  return { services, activationMs, settled };
}

/** The first look around, after activation. */
async function settle({ library, jobs, log }: Services): Promise<void> {
  try {
    await new Promise(setImmediate);
    await jobs.attach();
    library.start();
    await library.refresh();
  } catch (cause) {
    log.error(cause as Error);
  }
}
