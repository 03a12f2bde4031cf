// The installed package that carries the runtime's library: its folder and version.
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { SessionError } from '../errors';

/** @throws SessionError `runtime-missing`. */
export function runtimePackage(): { folder: string; version: string } {
  try {
    const file = require.resolve('onnxruntime-node/package.json');
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    return { folder: dirname(file), version };
  } catch (cause) {
    throw new SessionError({
      code: 'runtime-missing',
      message: 'The package onnxruntime-node is not installed.',
      remedy: 'Run npm install again.',
      cause,
    });
  }
}
