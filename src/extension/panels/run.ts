// The page of a run: one for each run, brought to the front when it is opened again.
import * as vscode from 'vscode';
import { RunPage, runViewType } from '../webviews/runPage';
import type { Panel } from './registry';

const pages = new Map<string, RunPage>();

export const runPanel: Panel<'run'> = {
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
    const page = new RunPage(id, compared, panel, services);
    pages.set(id, page);
    panel.onDidDispose(() => {
      page.dispose();
      pages.delete(id);
    });
  },
};
