// From a recipe's file to a run under way: validate, say what is wrong where it stands, start, open.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import type { RunRecord } from '../runs/runRecord';
import type { Services } from '../services';

export interface StartOptions {
  /** `key=value` texts. */
  overrides?: readonly string[];
  /** Whether the run is opened, unless a setting says no. */
  open?: boolean;
  name?: string;
}

/** Starts a recipe. @throws RecipeError with every problem. */
export async function startRecipe(
  recipePath: string,
  services: Services,
  { overrides = [], open = true, name }: StartOptions = {},
): Promise<RunRecord> {
  const dirty = vscode.workspace.textDocuments.find(
    ({ uri, isDirty }) => isDirty && uri.fsPath === recipePath,
  );
  await dirty?.save();
  const { loadRecipe, catalogue } = await import('../engineParts');
  const { recipe, notes } = loadRecipe(recipePath, catalogue, overrides);
  const run = await services.jobs.start({
    name: name ?? recipe.name,
    recipe: recipePath,
    params: { recipe, notes },
  });
  if (open && services.settings.openRunOnStart) openWhenThere(run, services);
  return run;
}

/** Goes on with a run from its newest checkpoint. */
export async function resumeRun(run: RunRecord, services: Services): Promise<RunRecord> {
  const { folder } = run;
  if (folder === undefined)
    throw new Error(vscode.l10n.t('{0} never started: start its recipe again.', run.name));
  const checkpoint = await newestCheckpoint(folder);
  if (checkpoint === undefined) {
    throw new Error(
      vscode.l10n.t('{0} ended before its first checkpoint: start its recipe again.', run.name),
    );
  }
  const overrides = [`resume_from_checkpoint=${JSON.stringify(checkpoint)}`];
  return startRecipe(join(folder, 'recipe.yaml'), services, { overrides, name: basename(folder) });
}

async function newestCheckpoint(folder: string): Promise<string | undefined> {
  const entries = await vscode.workspace.fs.readDirectory(vscode.Uri.file(join(folder, 'checkpoints'))).then(
    (list) => list,
    () => [],
  );
  const steps = entries.flatMap(([name]) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return steps.length === 0 ? undefined : join(folder, 'checkpoints', `step-${Math.max(...steps)}`);
}

/** Opens a started run once it has a folder, or waits for its device. */
function openWhenThere(started: RunRecord, services: Services): void {
  const subscription = services.runs.onDidChange((run) => {
    if (run === undefined || run.job !== started.job) return;
    if (run.folder === undefined && run.state !== 'waiting') return;
    subscription.dispose();
    void services.panels.open('run', { runs: [run.id] });
  });
  services.context.subscriptions.push(subscription);
}

/** Text of a recipe, for what reads it without starting it. */
export function readRecipeText(path: string): Promise<string> {
  const open = vscode.workspace.textDocuments.find(({ uri }) => uri.fsPath === path);
  return open === undefined ? readFile(path, 'utf8') : Promise.resolve(open.getText());
}
