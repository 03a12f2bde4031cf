// What the parts of the extension share: made once by extension.ts and handed to each of them.
import type * as vscode from 'vscode';
import type { Devices } from './devices';
import type { Panels } from './panels/registry';
import type { Jobs } from './runs/jobs';
import type { RunStore } from './runs/runStore';
import type { Settings } from './settings';
import type { TrainerCalls } from './trainerCalls';
import type { Library } from './workspace/library';

export interface Services {
  readonly context: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  /** Read anew at every access. */
  readonly settings: Settings;
  /** The machine's devices and their free memory. */
  readonly devices: Devices;
  /** What lies in the workspace and the configured folders. */
  readonly library: Library;
  /** All runs, live ones included. */
  readonly runs: RunStore;
  /** Starts trainings and controls them. */
  readonly jobs: Jobs;
  /** Short calls to a trainer: inspect, estimate, merge … */
  readonly calls: TrainerCalls;
  readonly panels: Panels;
  /** Resolves once the first scan is done and running trainings are attached. */
  readonly settled: Promise<void>;
}
