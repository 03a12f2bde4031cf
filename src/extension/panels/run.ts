// A run as it goes on. Until it has a page of its own, its event log opens as text.
import { join } from 'node:path';
import * as vscode from 'vscode';
import { reportText } from '../report';
import { showText } from './fallback';
import type { Panel } from './registry';

export const runPanel: Panel<'run'> = {
  async open({ runs }, services) {
    for (const id of runs) {
      const run = services.runs.get(id);
      if (run?.folder !== undefined) {
        const uri = vscode.Uri.file(join(run.folder, 'events.jsonl'));
        await vscode.window.showTextDocument(uri, { preview: true, preserveFocus: true });
      } else if (run?.error !== undefined) await showText(reportText(run.error));
    }
  },
};
