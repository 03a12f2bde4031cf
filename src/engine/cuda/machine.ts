// What the search for CUDA asks of a machine: its folders, small files and programs. Tests put a constructed machine in
// place of this one. It knows nothing of CUDA.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';

export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Standard output of a program; undefined where it is not there, fails or takes longer than ten seconds. */
  run(program: string, args: readonly string[]): string | undefined;
  /** Names in a folder; none where it cannot be read. */
  list(folder: string): readonly string[];
  /** The first 64 KiB of a small file as text; undefined where it cannot be read. */
  read(path: string): string | undefined;
  exists(path: string): boolean;
  /** The path with links resolved; the path itself where that fails. */
  realPath(path: string): string;
}

const textBytes = 64 * 1024;

export const thisMachine: Machine = {
  platform: process.platform,
  arch: process.arch,
  env: process.env,
  home: homedir(),
  run: (program, args) => {
    const { status, stdout } = spawnSync(program, [...args], {
      encoding: 'utf8',
      timeout: 10_000,
      maxBuffer: 16 << 20,
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return status === 0 ? stdout : undefined;
  },
  list: (folder) => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  },
  read: (path) => {
    try {
      const file = openSync(path, 'r');
      try {
        const bytes = Buffer.alloc(textBytes);
        return bytes.toString('utf8', 0, readSync(file, bytes, 0, textBytes, 0));
      } finally {
        closeSync(file);
      }
    } catch {
      return undefined;
    }
  },
  exists: existsSync,
  realPath: (path) => {
    try {
      return realpathSync(path);
    } catch {
      return path;
    }
  },
};
