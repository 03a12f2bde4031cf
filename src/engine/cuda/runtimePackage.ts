// The installed package that carries the runtime's library: its folder and version.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SessionError } from '../errors';

/** Folder of another build of the package than the installed one. */
export const runtimeVariable = 'LORA_WORKBENCH_ONNXRUNTIME';

/** @throws SessionError `runtime-missing`. */
export function runtimePackage(): { folder: string; version: string } {
  const own = process.env[runtimeVariable];
  try {
    const file = own ? join(own, 'package.json') : require.resolve('onnxruntime-node/package.json');
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    return { folder: dirname(file), version };
  } catch (cause) {
    throw new SessionError({
      code: 'runtime-missing',
      message: own
        ? `${runtimeVariable} names ${own}, which is no folder of the package onnxruntime-node.`
        : 'The package onnxruntime-node is not installed.',
      remedy: own
        ? 'Name the folder with its package.json, or unset the variable.'
        : 'Run npm install again.',
      cause,
    });
  }
}
