// What a command is about: the item or file that it was called with, else what is open, else what the user picks.
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { isLive, type RunRecord } from '../runs/runRecord';
import type { Services } from '../services';
import type { AdapterItem } from '../workspace/items';

interface Picked<T> extends vscode.QuickPickItem {
  value: T;
}

/** A value from a list; the only one without asking. */
export async function pick<T>(
  list: readonly T[],
  describe: (item: T) => vscode.QuickPickItem,
  title: string,
  empty: string,
): Promise<T | undefined> {
  if (list.length === 0) {
    void vscode.window.showInformationMessage(empty);
    return undefined;
  }
  if (list.length === 1) return list[0];
  const items: Picked<T>[] = list.map((value) => ({ ...describe(value), value }));
  return (await vscode.window.showQuickPick(items, { title, matchOnDescription: true }))?.value;
}

function has<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return typeof value === 'object' && value !== null && key in value;
}

/** The path that a menu's target stands for; undefined where it stands for none. */
export function pathOf(target: unknown): string | undefined {
  if (typeof target === 'string') return target;
  if (target instanceof vscode.Uri) return target.scheme === 'file' ? target.fsPath : undefined;
  for (const key of ['file', 'folder', 'path'] as const)
    if (has(target, key) && typeof target[key] === 'string') return target[key];
  return undefined;
}

/** The run that a command is about. */
export async function runTarget(
  services: Services,
  target: unknown,
  wanted: (run: RunRecord) => boolean = () => true,
): Promise<RunRecord | undefined> {
  const id = typeof target === 'string' ? target : has(target, 'id') ? String(target.id) : undefined;
  const given = id === undefined ? undefined : services.runs.get(id);
  if (given !== undefined) return given;
  return pick(
    services.runs.all.filter(wanted),
    ({ name, state, step }) => ({ label: name, description: `${state}, ${vscode.l10n.t('step {0}', step)}` }),
    vscode.l10n.t('Choose a run'),
    vscode.l10n.t('There is no such run in this workspace.'),
  );
}

export const live = (run: RunRecord): boolean => isLive(run.state);
export const resumable = (run: RunRecord): boolean => run.state === 'failed' || run.state === 'stopped';

const recipePattern = /\.lora\.(ya?ml|json)$/i;

/** The recipe that a command is about. */
export async function recipeTarget(services: Services, target: unknown): Promise<string | undefined> {
  const given = pathOf(target);
  if (given !== undefined) return given;
  const tab = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const open =
    tab instanceof vscode.TabInputText || tab instanceof vscode.TabInputCustom ? tab.uri.fsPath : undefined;
  if (open !== undefined && recipePattern.test(open)) return open;
  if (!services.library.ready) await services.library.refresh();
  const recipe = await pick(
    services.library.contents.recipes,
    ({ file }) => ({ label: basename(file), description: vscode.workspace.asRelativePath(dirname(file)) }),
    vscode.l10n.t('Choose a recipe'),
    vscode.l10n.t('There is no recipe (*.lora.yaml) in this workspace. New Fine-Tune makes one.'),
  );
  return recipe?.file;
}

/** The adapter that a command is about. */
export async function adapterTarget(services: Services, target: unknown): Promise<AdapterItem | undefined> {
  if (!services.library.ready) await services.library.refresh();
  const { adapters } = services.library.contents;
  const path = pathOf(target);
  const given =
    path === undefined ? undefined : adapters.find(({ folder, file }) => folder === path || file === path);
  if (given !== undefined) return given;
  return pick(
    adapters,
    ({ name, base, folder }) => ({
      label: name,
      description: base,
      detail: vscode.workspace.asRelativePath(folder),
    }),
    vscode.l10n.t('Choose an adapter'),
    vscode.l10n.t('There is no adapter in this workspace yet. A finished run puts one here.'),
  );
}

/** A dataset of the workspace. */
export async function datasetTarget(services: Services, target: unknown): Promise<string | undefined> {
  const given = pathOf(target);
  if (given !== undefined) return given;
  if (!services.library.ready) await services.library.refresh();
  const dataset = await pick(
    services.library.contents.datasets,
    ({ file }) => ({ label: basename(file), description: vscode.workspace.asRelativePath(dirname(file)) }),
    vscode.l10n.t('Choose a dataset'),
    vscode.l10n.t('There is no dataset (JSONL or Parquet) in this workspace.'),
  );
  return dataset?.file;
}

/** The folder of an adapter's base, asked for where it was not found. */
export async function baseOf(adapter: AdapterItem, services: Services): Promise<string | undefined> {
  if (adapter.baseFolder !== undefined) return adapter.baseFolder;
  const model = await pick(
    services.library.contents.models,
    ({ name, folder }) => ({ label: name, description: vscode.workspace.asRelativePath(folder) }),
    vscode.l10n.t('The base {0} was not found; choose it', adapter.base ?? ''),
    vscode.l10n.t('There is no model on this machine that this adapter could belong to.'),
  );
  return model?.folder;
}

/** The folder of a model: the given one, else one of those found or any other; never `except`, which it is compared with. */
export async function modelTarget(
  services: Services,
  target: unknown,
  title: string,
  except?: string,
): Promise<string | undefined> {
  const given = pathOf(target);
  if (given !== undefined) return given;
  if (!services.library.ready) await services.library.refresh();
  const { models } = services.library.contents;
  const type = models.find(({ folder }) => folder === except)?.modelType;
  // A fine-tuned model is of its base's type: those first.
  const others = models
    .filter(({ folder }) => folder !== except)
    .sort((a, b) => Number(b.modelType === type) - Number(a.modelType === type));
  const items: Picked<string | undefined>[] = [
    ...others.map(({ name, modelType, folder }) => ({
      label: name,
      description: modelType ?? '',
      detail: vscode.workspace.asRelativePath(folder),
      value: folder,
    })),
    { label: vscode.l10n.t('Choose a Folder…'), value: undefined },
  ];
  const chosen = await vscode.window.showQuickPick(items, { title, matchOnDescription: true });
  if (chosen === undefined || chosen.value !== undefined) return chosen?.value;
  const [folder] =
    (await vscode.window.showOpenDialog({ title, canSelectFolders: true, canSelectFiles: false })) ?? [];
  return folder?.fsPath;
}
