// The panels: what can be opened, each in a file of its own. A panel registers its editors at activation and does the rest
// when it is opened.
import type * as vscode from 'vscode';
import type { Services } from '../services';
import { adapterPanel } from './adapter';
import { configurePanel } from './configure';
import { lensPanel } from './lens';
import { machinePanel } from './machine';
import { playgroundPanel } from './playground';
import { runPanel } from './run';

/** What each panel is opened on. Paths are absolute. */
export interface PanelTargets {
  /** A recipe, or undefined for a new one; `model` and `dataset` prefill a new one. */
  configure: { recipe?: string; model?: string; dataset?: string };
  /** Runs by id (RunRecord.id); several are compared, the first is the run itself. */
  run: { runs: readonly string[] };
  /** A safetensors file or an adapter's folder. */
  adapter: { path: string };
  playground: { model?: string; adapters: readonly string[] };
  /** A dataset; `recipe` is the one whose template and max_length count. */
  lens: { dataset: string; recipe?: string };
  machine: Record<string, never>;
}
export type PanelId = keyof PanelTargets;

export interface Panel<Id extends PanelId> {
  /** Registers custom editors and serializers; light, for it runs at activation. */
  register?(services: Services): vscode.Disposable[];
  open(target: PanelTargets[Id], services: Services): Promise<void>;
}

const panels: { [Id in PanelId]: Panel<Id> } = {
  configure: configurePanel,
  run: runPanel,
  adapter: adapterPanel,
  playground: playgroundPanel,
  lens: lensPanel,
  machine: machinePanel,
};

/** Opens panels by name. */
export class Panels {
  constructor(private readonly services: () => Services) {}

  register(): vscode.Disposable[] {
    return Object.values(panels).flatMap((panel) => panel.register?.(this.services()) ?? []);
  }

  open<Id extends PanelId>(id: Id, target: PanelTargets[Id]): Promise<void> {
    return panels[id].open(target, this.services());
  }
}
