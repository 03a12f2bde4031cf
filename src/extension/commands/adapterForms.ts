// Commands that compare adapters and make others, out of them or of a fine-tuned model. Each asks for what its target does not say.
import { basename, dirname, join } from 'node:path';
import * as vscode from 'vscode';
import type { Command } from '../commands';
import type { Services } from '../services';
import { showComparison } from '../views/comparison';
import type { AdapterItem } from '../workspace/items';
import { adapterTarget, baseOf, modelTarget } from './targets';

const { l10n } = vscode;

/** What a caller may say beforehand, instead of being asked. */
interface Said {
  folders?: unknown;
  type?: unknown;
  rank?: unknown;
  model?: unknown;
  out?: unknown;
}

const said = (target: unknown): Said => (typeof target === 'object' && target !== null ? target : {});

export const adapterFormCommands: Readonly<Record<string, Command>> = {
  compareAdapters: async (services, target) => {
    const folders = await foldersToCompare(services, target);
    if (folders === undefined) return undefined;
    const title = l10n.t('Comparing {0} adapters', folders.length);
    return showComparison(await services.calls.callWithProgress(title, 'diff', { adapters: folders }));
  },

  convertAdapter: async (services, target) => {
    const adapter = await adapterTarget(services, target);
    const model = adapter && (await baseOf(adapter, services));
    if (adapter === undefined || model === undefined) return undefined;
    const given = said(target).type;
    const type = given === 'lora' || given === 'rslora' ? given : await askType();
    const out = type && (await outFolder(besideAdapter(adapter, type), target));
    if (type === undefined || out === undefined) return undefined;
    const title = l10n.t('Converting {0}', adapter.name);
    const params = { model, adapter: adapter.folder, type, out };
    const result = await services.calls.callWithProgress(title, 'convert', params);
    services.library.refreshSoon();
    void offer(
      l10n.t('{0} modules converted; the update is the same.', result.modules),
      result.out,
      services,
    );
    return result;
  },

  resizeAdapter: async (services, target) => {
    const adapter = await adapterTarget(services, target);
    const model = adapter && (await baseOf(adapter, services));
    if (adapter === undefined || model === undefined) return undefined;
    const given = said(target).rank;
    const rank = typeof given === 'number' ? given : await askNewRank(adapter);
    const out = rank && (await outFolder(besideAdapter(adapter, `r${rank}`), target));
    if (rank === undefined || !out) return undefined;
    const title = l10n.t('Resizing {0} to rank {1}', adapter.name, rank);
    const params = { model, adapter: adapter.folder, out, rank, energy: null, seed: 42 };
    const result = await services.calls.callWithProgress(title, 'resize', params);
    services.library.refreshSoon();
    const percent = `${(100 * result.relativeError).toPrecision(2)} %`;
    void offer(
      l10n.t('Resized to rank {0}; the update differs by {1}.', rank, percent),
      result.out,
      services,
    );
    return result;
  },

  extractAdapter: async (services, target) => {
    const tuned = await modelTarget(services, target, l10n.t('Choose the fine-tuned model'));
    if (tuned === undefined) return undefined;
    const model = await modelTarget(
      services,
      said(target).model,
      l10n.t('Choose the model that {0} was fine-tuned from', basename(tuned)),
      tuned,
    );
    if (model === undefined) return undefined;
    const given = said(target).rank;
    const rank = typeof given === 'number' ? given : await askExtractedRank();
    const out = rank && (await outFolder(besideModel(tuned, `lora-r${rank}`), target));
    if (rank === undefined || !out) return undefined;
    const title = l10n.t('Extracting a LoRA from {0}', basename(tuned));
    const params = { model, tuned, out, rank, device: 'auto', threads: 0 };
    const result = await services.calls.callWithProgress(title, 'extract', params);
    services.library.refreshSoon();
    const percent = `${(100 * result.relativeError).toPrecision(2)} %`;
    const count = result.modules.length;
    const extracted =
      count === 1
        ? l10n.t('1 module extracted at rank {0}; the update differs by {1}.', rank, percent)
        : l10n.t('{0} modules extracted at rank {1}; the update differs by {2}.', count, rank, percent);
    const left =
      result.unheld.length === 0
        ? ''
        : ` ${l10n.t('Tensors that changed too and that a LoRA cannot hold: {0}.', result.unheld.length)}`;
    void offer(`${extracted}${left}`, result.out, services);
    return result;
  },
};

async function foldersToCompare(services: Services, target: unknown): Promise<string[] | undefined> {
  const { folders } = said(target);
  if (Array.isArray(folders) && folders.length > 1) return folders.map(String);
  const first = await adapterTarget(services, target);
  if (first === undefined) return undefined;
  const others = services.library.contents.adapters.filter(
    ({ folder, problems }) => folder !== first.folder && problems.length === 0,
  );
  if (others.length === 0) {
    void vscode.window.showInformationMessage(
      l10n.t('There is no other adapter in this workspace to compare with.'),
    );
    return undefined;
  }
  const chosen = await vscode.window.showQuickPick(
    others.map(({ name, folder, baseFolder }) => ({
      label: name,
      description: baseFolder === first.baseFolder ? l10n.t('same base') : '',
      detail: vscode.workspace.asRelativePath(folder),
      folder,
    })),
    { canPickMany: true, title: l10n.t('Compare {0} with', first.name) },
  );
  return chosen === undefined || chosen.length === 0
    ? undefined
    : [first.folder, ...chosen.map(({ folder }) => folder)];
}

async function askType(): Promise<'lora' | 'rslora' | undefined> {
  const types = [
    { label: 'LoRA', detail: l10n.t('scaled by alpha/r; every program reads it'), type: 'lora' as const },
    { label: 'rsLoRA', detail: l10n.t('scaled by alpha/√r'), type: 'rslora' as const },
  ];
  return (await vscode.window.showQuickPick(types, { title: l10n.t('Convert into') }))?.type;
}

async function askNewRank({ rank }: AdapterItem): Promise<number | undefined> {
  return askRank(
    l10n.t('New rank'),
    rank === undefined
      ? l10n.t('The closest update of this rank is written.')
      : l10n.t('It has rank {0}. The closest update of the new rank is written.', rank),
    rank === undefined ? undefined : Math.max(1, Math.floor(rank / 2)),
  );
}

const askExtractedRank = (): Promise<number | undefined> =>
  askRank(
    l10n.t('Rank of the LoRA'),
    l10n.t('What fine-tuning changed is cut to this rank in every module; a higher one keeps more of it.'),
    16,
  );

async function askRank(
  title: string,
  prompt: string,
  proposed: number | undefined,
): Promise<number | undefined> {
  const text = await vscode.window.showInputBox({
    title,
    prompt,
    ...(proposed === undefined ? {} : { value: String(proposed) }),
    validateInput: (value) =>
      /^[1-9]\d{0,4}$/.test(value) ? undefined : l10n.t('A whole number from 1 on.'),
  });
  return text === undefined ? undefined : Number(text);
}

function besideAdapter({ run, folder }: AdapterItem, what: string): string {
  return run === undefined ? `${folder}-${what}` : join(dirname(run), `${basename(run)}-${what}`);
}

/** Beside a model of the workspace; in the workspace for one from elsewhere, such as a cache. */
function besideModel(folder: string, what: string): string {
  const name = `${basename(folder)}-${what}`;
  const [first] = vscode.workspace.workspaceFolders ?? [];
  const outside = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(folder)) === undefined;
  return join(outside && first ? first.uri.fsPath : dirname(folder), name);
}

async function outFolder(proposed: string, target: unknown): Promise<string | undefined> {
  const { out } = said(target);
  if (typeof out === 'string') return out;
  const chosen = await vscode.window.showSaveDialog({
    title: l10n.t('A new folder for the adapter'),
    defaultUri: vscode.Uri.file(proposed),
  });
  return chosen?.fsPath;
}

async function offer(text: string, folder: string, services: Services): Promise<void> {
  const action = l10n.t('Inspect');
  if ((await vscode.window.showInformationMessage(text, action)) === action)
    await services.panels.open('adapter', { path: folder });
}
