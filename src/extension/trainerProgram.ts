// How a trainer is started from the extension host: which Node, which program, which environment.
import { join } from 'node:path';
import type { Settings } from './settings';

/** `dist/trainer.js` lies beside this bundle. */
export const trainerProgram = join(__dirname, 'trainer.js');

export function trainerCommand(settings: Settings): {
  program: string;
  args: string[];
  env: NodeJS.ProcessEnv;
} {
  return {
    program: settings.nodePath ?? process.execPath,
    args: ['--enable-source-maps', trainerProgram],
    env: trainerEnvironment(settings),
  };
}

/** The desktop's extension host is Electron, which behaves as Node only when told so. The editor's own variables stay out. */
export function trainerEnvironment(settings: Settings): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('VSCODE_') && name !== 'NODE_OPTIONS' && name !== 'ELECTRON_RUN_AS_NODE',
  );
  const electron = process.versions.electron !== undefined && settings.nodePath === undefined;
  return {
    ...Object.fromEntries(inherited),
    ...(electron ? { ELECTRON_RUN_AS_NODE: '1' } : {}),
    ...(settings.cudaFolder === undefined ? {} : { LORA_WORKBENCH_CUDA_FOLDER: settings.cudaFolder }),
    ...settings.environment,
  };
}
