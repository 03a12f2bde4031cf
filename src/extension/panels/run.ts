// The page of a run: one for each run, brought to the front when it is opened again.
import * as vscode from 'vscode';
import type { Services } from '../services';
import { tabIcon } from '../webviews/host';
import { RunPage, runViewType } from '../webviews/runPage';
import type { Panel } from './registry';

const pages = new Map<string, RunPage>();

/** Shows a run in a panel, one that was just made or one that the editor brings back after a reload. */
function attach(
  id: string,
  compared: readonly string[],
  panel: vscode.WebviewPanel,
  services: Services,
): void {
  panel.iconPath = tabIcon(services);
  const page = new RunPage(id, compared, panel, services);
  pages.set(id, page);
  const moves = followToFolder(id, panel, services);
  panel.onDidDispose(() => {
    moves.dispose();
    page.dispose();
    if (pages.get(id) === page) pages.delete(id);
  });
}

/** A run that has waited for its device is another one once it has a folder, or none where it was stopped: so is its page. */
function followToFolder(id: string, panel: vscode.WebviewPanel, services: Services): vscode.Disposable {
  const { runs } = services;
  const start = runs.get(id);
  if (start?.job === undefined || start.folder !== undefined) return vscode.Disposable.from();
  let moved: string | undefined;
  const look = (): void => {
    moved ??= runs.all.find((one) => one.id !== id && one.job === start.job)?.id;
    // What lies behind other pages is not brought to the front.
    if (runs.get(id) !== undefined || !panel.visible) return;
    panel.dispose();
    if (moved !== undefined) void services.panels.open('run', { runs: [moved] });
  };
  return vscode.Disposable.from(runs.onDidChange(look), panel.onDidChangeViewState(look));
}

export const runPanel: Panel<'run'> = {
  register: (services) => [
    vscode.window.registerWebviewPanelSerializer(runViewType, {
      async deserializeWebviewPanel(panel, state: unknown) {
        const kept = keptRuns(state);
        const id = kept[0];
        // A page that never listened kept nothing, and a run has one page.
        if (id === undefined || pages.has(id) || !(await isThere(id, services))) panel.dispose();
        else attach(id, kept.slice(1), panel, services);
      },
    }),
  ],

  async open({ runs }, services) {
    const [id, ...compared] = runs;
    if (id === undefined) return;
    const open = pages.get(id);
    if (open !== undefined) {
      open.panel.reveal();
      open.compare(compared);
      return;
    }
    const name = services.runs.get(id)?.name ?? id;
    const panel = vscode.window.createWebviewPanel(runViewType, name, vscode.ViewColumn.Active, {
      enableScripts: true,
      retainContextWhenHidden: true,
    });
    attach(id, compared, panel, services);
  },
};

/** The runs that a page was about: its own first. What comes back from the editor's storage is not trusted to. */
function keptRuns(state: unknown): string[] {
  const runs = typeof state === 'object' && state !== null && 'runs' in state ? state.runs : undefined;
  return Array.isArray(runs) ? runs.filter((one) => typeof one === 'string').slice(0, 16) : [];
}

/** Whether a run is known once the window has looked around. */
async function isThere(id: string, { runs, library, settled }: Services): Promise<boolean> {
  await settled;
  await runs.setFolders(library.contents.runs);
  return runs.get(id) !== undefined;
}
