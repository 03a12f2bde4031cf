// Base against adapter, side by side. The model stays loaded while the panel is open.
import { PlaygroundPanel } from '../webviews/playgroundPanel';
import type { Panel } from './registry';

export const playgroundPanel: Panel<'playground'> = {
  async open(target, services) {
    if (!services.library.ready) await services.library.refresh();
    PlaygroundPanel.show(target, services);
  },
};
