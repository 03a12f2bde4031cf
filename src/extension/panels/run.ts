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
  panel.onDidDispose(() => {
    page.dispose();
    if (pages.get(id) === page) pages.delete(id);
  });
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
