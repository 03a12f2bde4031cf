// Fetches CUDA libraries that a machine lacks from NVIDIA's Python packages into the product's own folder. Each file is put in
// place whole; what is there already is left.
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError } from '../files/diskErrors';
import { archiveError, memberName, openContainer } from './archive';
import { copyMember } from './copyMember';
import { assertSpace, download } from './download';
import { type InstallOptions, takeInstallLock } from './install';
import { readLibraryHeader } from './libraryHeader';
import { nvidiaPackage } from './nvidiaPackages';
import { packageFacts } from './packageFacts';
import { newestWheel } from './sources';
import { librariesFolder } from './storage';

export type LibraryOptions = Pick<
  InstallOptions,
  'storage' | 'env' | 'signal' | 'onProgress' | 'freeBytes'
> & {
  cudaMajor: number;
};

/**
 * Brings the named libraries, with their neighbours of the same package, and returns what was put in place.
 * @throws SessionError `download-…`, `index-unexpected`, `archive-…`, `disk-full`, `install-locked`.
 */
export async function installLibraries(names: readonly string[], options: LibraryOptions): Promise<string[]> {
  const { storage, env, signal, onProgress, cudaMajor, freeBytes } = options;
  const packages = new Map<string, number>();
  for (const name of names) {
    const found = nvidiaPackage(name, cudaMajor);
    if (found !== undefined) packages.set(found.name, found.major);
  }
  await mkdir(storage, { recursive: true }).catch((cause) => {
    throw diskError(cause, storage, 'make');
  });
  const lock = takeInstallLock(join(storage, 'install.lock'));
  try {
    const placed: string[] = [];
    for (const [name, major] of packages) {
      onProgress(`Asking PyPI for ${name}`, null);
      const file = await newestWheel(name, major, `${process.platform}-${process.arch}`, env, signal);
      const path = await download(file, join(storage, 'downloads'), {
        signal,
        ...(freeBytes === undefined ? {} : { freeBytes }),
        onProgress: (done, total) =>
          onProgress(
            `Fetching ${file.name}: ${(done / 1e6).toFixed(0)} MB`,
            total === null ? null : done / total,
          ),
      });
      placed.push(...(await unpackLibraries(path, options)));
      await rm(path, { force: true });
    }
    const missing = names.filter((name) => !placed.includes(name) && packages.size > 0);
    if (missing.length > 0)
      throw archiveError('archive-incomplete', `NVIDIA's packages hold no ${missing.join(' and no ')}.`);
    return placed;
  } finally {
    lock.release();
  }
}

const isLibrary = /^lib[\w.+-]+\.so(\.[\d.]+)?$|^[\w.+-]+\.dll$/;

async function unpackLibraries(path: string, options: LibraryOptions): Promise<string[]> {
  const { storage, signal, onProgress, freeBytes } = options;
  const folder = librariesFolder(storage);
  const container = await openContainer(
    path,
    (member) =>
      packageFacts.wants(member) || (member.startsWith('nvidia/') && isLibrary.test(memberName(member))),
  );
  try {
    const { checksums } = await packageFacts.read(container);
    const members = container.members.filter(({ path: member }) => isLibrary.test(memberName(member)));
    await assertSpace(
      storage,
      members.reduce((sum, { bytes }) => sum + bytes, 0),
      freeBytes,
    );
    await mkdir(folder, { recursive: true });
    const placed: string[] = [];
    for (const member of members) {
      const name = memberName(member.path);
      const aside = join(folder, `.${name}.new-${process.pid}`);
      onProgress(`Unpacking ${name}`, null);
      try {
        const { sha256 } = await copyMember(member, aside, '', signal);
        const expected = checksums.get(member.path);
        if (expected !== undefined && expected !== sha256)
          throw archiveError('archive-damaged', `${member.path} in ${path} is not what its RECORD says.`);
        readLibraryHeader(aside);
        await rename(aside, join(folder, name));
      } catch (cause) {
        await rm(aside, { force: true });
        throw diskError(cause, aside, 'write');
      }
      placed.push(name);
    }
    return placed;
  } finally {
    container.close();
  }
}
