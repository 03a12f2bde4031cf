// The settings as typed values. Configured paths count only where the workspace is trusted; VS Code sees to it
// (restrictedConfigurations), and the readers of paths ask again.
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';

export const section = 'loraWorkbench';

export interface Settings {
  /** Absolute. */
  folders: string[];
  /** Absolute; undefined where the cache is not looked at. */
  hubCache: string | undefined;
  exclude: string[];
  maximumFiles: number;
  /** Undefined for the Node that runs this process. */
  nodePath: string | undefined;
  environment: Record<string, string>;
  /** Absolute; undefined for the user's folder for application data. */
  cudaFolder: string | undefined;
  notifyWhenFinished: boolean;
  openRunOnStart: boolean;
  codeLens: boolean;
}

/** Reads all settings anew; they are cheap. */
export function readSettings(): Settings {
  const values = vscode.workspace.getConfiguration(section);
  const trusted = vscode.workspace.isTrusted;
  const paths = trusted ? values.get<string[]>('folders', []) : [];
  const cache = expandHome(values.get<string>('hubCache', '')) || defaultHubCache();
  return {
    folders: paths.map(expandHome).filter(isAbsolute),
    hubCache: trusted && values.get<boolean>('scanHubCache', false) ? cache : undefined,
    exclude: values.get<string[]>('exclude', []),
    maximumFiles: values.get<number>('maximumFiles', 50_000),
    nodePath: (trusted && expandHome(values.get<string>('nodePath', ''))) || undefined,
    cudaFolder: (trusted && absolute(expandHome(values.get<string>('cudaFolder', '')))) || undefined,
    environment: trusted ? values.get<Record<string, string>>('environment', {}) : {},
    notifyWhenFinished: values.get<boolean>('notifyWhenFinished', true),
    openRunOnStart: values.get<boolean>('openRunOnStart', true),
    codeLens: values.get<boolean>('codeLens', true),
  };
}

function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

function absolute(path: string): string | undefined {
  return isAbsolute(path) ? path : undefined;
}

function defaultHubCache(): string {
  const { HF_HUB_CACHE, HF_HOME } = process.env;
  return HF_HUB_CACHE ?? join(HF_HOME ?? join(homedir(), '.cache', 'huggingface'), 'hub');
}
