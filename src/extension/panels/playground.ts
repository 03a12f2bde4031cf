// Base against adapter, side by side. The model stays loaded while the panel is open.
import * as vscode from 'vscode';
import { PlaygroundPanel, playgroundViewType } from '../webviews/playgroundPanel';
import type { Panel } from './registry';

export const playgroundPanel: Panel<'playground'> = {
  register: (services) => [
    vscode.window.registerWebviewPanelSerializer(playgroundViewType, {
      async deserializeWebviewPanel(panel, state: unknown) {
        await services.settled;
        PlaygroundPanel.restore(panel, state, services);
      },
    }),
  ],

  async open(target, services) {
    if (!services.library.ready) await services.library.refresh();
    PlaygroundPanel.show(target, services);
  },
};
