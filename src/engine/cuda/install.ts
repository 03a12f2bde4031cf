// Brings the CUDA provider's files of exactly one runtime version into the product's own folder: fetched, or taken from a
// folder, archive or wheel that the user gives. Unpacked aside, checked, then renamed: an installation is whole or not there.
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SessionError, UserError } from '../errors';
import { diskError } from '../files/diskErrors';
import { RunLock } from '../run/runLock';
import { archiveError, type Container, type Member, memberName, openContainer } from './archive';
import { sha256OfFile } from './checksum';
import { copyMember } from './copyMember';
import { assertSpace, type DownloadOptions, download } from './download';
import { readLibraryHeader } from './libraryHeader';
import { packageFacts } from './packageFacts';
import { isSupported } from './report';
import { type Source, sourcesFor } from './sources';
import {
  type Installation,
  type InstalledFile,
  installationFolder,
  manifestName,
  type ProviderKind,
  providerNames,
  readInstallation,
} from './storage';

export interface InstallOptions {
  version: string;
  storage: string;
  /** A folder, archive or wheel; null fetches. */
  from: string | null;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  /** `fraction` is null where it is not known. */
  onProgress(message: string, fraction: number | null): void;
  freeBytes?: DownloadOptions['freeBytes'];
  /** Where to fetch from, in place of the published places. */
  sources?: readonly Source[];
}

export interface InstallOutcome {
  folder: string;
  source: string;
  files: readonly InstalledFile[];
  changed: boolean;
}

/**
 * Installs. Calling it again changes nothing where the files are whole.
 * @throws SessionError `cuda-unsupported`, `download-…`, `archive-…`, `provider-version`, `library-invalid`, `disk-full`;
 *   RunError `run-locked` while another process installs; the signal's reason when it is aborted.
 */
export async function installProvider(options: InstallOptions): Promise<InstallOutcome> {
  const { version, storage, from } = options;
  if (!isSupported(process.platform, process.arch)) {
    throw new SessionError({
      code: 'cuda-unsupported',
      message: `There is no CUDA provider of ONNX Runtime for ${process.platform} ${process.arch}.`,
      remedy:
        process.platform === 'darwin'
          ? 'Train with device cpu, or with device webgpu, which uses Metal.'
          : 'Train with device cpu, or with device webgpu.',
    });
  }
  await mkdir(storage, { recursive: true }).catch((cause) => {
    throw diskError(cause, storage, 'make');
  });
  const lock = takeInstallLock(join(storage, 'install.lock'));
  try {
    const folder = installationFolder(storage, version);
    const present = readInstallation(folder);
    if (from === null && present !== undefined && (await isIntact(folder, present)))
      return { folder, source: present.source, files: present.files, changed: false };
    const { path, source } = from === null ? await fetchPackage(options) : { path: from, source: from };
    const files = await unpack(path, source, folder, options);
    // The package has served; the files in it are kept once.
    if (from === null) await rm(path, { force: true });
    return { folder, source, files, changed: true };
  } finally {
    lock.release();
  }
}

/** @throws SessionError `install-locked`. */
export function takeInstallLock(path: string): RunLock {
  try {
    return RunLock.take(path);
  } catch (cause) {
    if (!(cause instanceof UserError) || cause.code !== 'run-locked') throw cause;
    throw new SessionError({
      code: 'install-locked',
      message: `Process ${cause.facts.pid} is installing CUDA already (${path}).`,
      remedy: 'Wait for it or end it, then try again.',
      cause,
    });
  }
}

async function isIntact(folder: string, { files }: Installation): Promise<boolean> {
  for (const { name, sha256 } of files)
    if ((await sha256OfFile(join(folder, basename(name))).catch(() => '')) !== sha256) return false;
  return true;
}

/** The first source that has the version; every one's failure is told where none has. */
async function fetchPackage(options: InstallOptions): Promise<{ path: string; source: string }> {
  const { version, storage, env, signal, onProgress, freeBytes } = options;
  const system = `${process.platform}-${process.arch}`;
  const failures: UserError[] = [];
  for (const { name, find } of options.sources ?? sourcesFor(system, env)) {
    try {
      onProgress(`Asking ${name} for version ${version}`, null);
      const file = await find(version, signal);
      let told = 0;
      const path = await download(file, join(storage, 'downloads'), {
        signal,
        ...(freeBytes === undefined ? {} : { freeBytes }),
        onProgress: (done, total) => {
          // Pieces come by the thousand.
          if (done - told < 1 << 20 && done !== total) return;
          told = done;
          const of = total === null ? '' : ` of ${(total / 1e6).toFixed(0)}`;
          onProgress(
            `Fetching ${file.name}: ${(done / 1e6).toFixed(0)}${of} MB`,
            total === null ? null : done / total,
          );
        },
      });
      return { path, source: file.url };
    } catch (cause) {
      // A full disk or a cancellation is the same whatever the source.
      if (signal.aborted || !(cause instanceof SessionError) || cause.code === 'disk-full') throw cause;
      failures.push(cause);
    }
  }
  const [first] = failures;
  if (failures.length === 1 && first !== undefined) throw first;
  throw new SessionError({
    code: failures.some(({ code }) => code === 'download-damaged') ? 'download-damaged' : 'download-failed',
    message: `The CUDA provider of ONNX Runtime ${version} could not be fetched. ${failures.map(({ message }) => message).join(' ')}`,
    remedy: first?.remedy ?? 'Give the files by --from.',
    cause: first,
  });
}

/** Unpacks what is needed into a new folder beside `folder`, checks it and puts it in place. */
async function unpack(
  path: string,
  source: string,
  folder: string,
  options: InstallOptions,
): Promise<InstalledFile[]> {
  const { version, signal, onProgress, freeBytes } = options;
  const names = providerNames(process.platform);
  const wanted = new Set([...names.bridge, ...names.plugin]);
  const container = await openContainer(
    path,
    (member) => wanted.has(memberName(member)) || packageFacts.wants(member),
  );
  const aside = `${folder}.new-${process.pid}`;
  try {
    const facts = await packageFacts.read(container);
    const { kind, members } = choose(container, names, path);
    if (kind === 'bridge' && facts.version !== null && facts.version !== version)
      throw wrongVersion(path, facts.version, version);
    await assertSpace(
      options.storage,
      members.reduce((sum, { bytes }) => sum + bytes, 0),
      freeBytes,
    );
    await removeRemains(options.storage);
    await mkdir(aside, { recursive: true });
    const files: InstalledFile[] = [];
    for (const member of members) {
      const name = memberName(member.path);
      onProgress(`Unpacking ${name}`, null);
      const file = await copyMember(member, join(aside, name), version, signal);
      const expected = facts.checksums.get(member.path);
      if (expected !== undefined && expected !== file.sha256)
        throw archiveError(
          'archive-damaged',
          `${member.path} in ${path} is not what the package's RECORD says.`,
        );
      checkLibrary(join(aside, name), path);
      if (kind === 'bridge' && name === names.bridge[0] && !file.holdsMark)
        throw wrongVersion(path, 'another version', version);
      files.push({ name, bytes: file.bytes, sha256: file.sha256 });
    }
    const { platform, arch } = process;
    const installation: Installation = { runtime: version, platform, arch, kind, source, files };
    await writeFile(join(aside, manifestName), `${JSON.stringify(installation, null, 2)}\n`);
    signal.throwIfAborted();
    await rm(folder, { recursive: true, force: true });
    await rename(aside, folder);
    return files;
  } catch (cause) {
    await rm(aside, { recursive: true, force: true });
    throw diskError(cause, aside, 'write');
  } finally {
    container.close();
  }
}

/** The members of a whole set: the runtime's own provider before a plugin. The shallowest of several files counts. */
function choose(
  container: Container,
  names: ReturnType<typeof providerNames>,
  path: string,
): { kind: ProviderKind; members: readonly Member[] } {
  const depth = (member: Member): number => member.path.split('/').length;
  const found = (name: string): Member | undefined =>
    container.members
      .filter((member) => memberName(member.path) === name)
      .sort((a, b) => depth(a) - depth(b))[0];
  for (const kind of ['bridge', 'plugin'] as const) {
    const members = names[kind].map(found);
    if (members.every((member) => member !== undefined)) return { kind, members: members as Member[] };
  }
  const missing = names.bridge.filter((name) => found(name) === undefined);
  throw archiveError(
    'archive-incomplete',
    `${path} has no ${missing.join(' and no ')}, which CUDA on ${process.platform} ${process.arch} needs.`,
  );
}

function checkLibrary(path: string, source: string): void {
  const { arch } = readLibraryHeader(path);
  if (arch === process.arch) return;
  throw new SessionError({
    code: 'provider-platform',
    message: `${basename(path)} in ${source} is for ${arch}; this machine is ${process.arch}.`,
    remedy: `Give the package for ${process.platform} ${process.arch}.`,
  });
}

function wrongVersion(path: string, found: string, version: string): SessionError {
  return new SessionError({
    code: 'provider-version',
    message: `${path} is of ${found === 'another version' ? found : `version ${found}`}; ONNX Runtime ${version} needs its own.`,
    remedy: `Give the wheel onnxruntime-gpu ${version} or the NuGet package of that version.`,
    facts: { expected: version },
  });
}

/** What an ended attempt left. Other versions stay: an editor and a terminal may be of different ages. */
async function removeRemains(storage: string): Promise<void> {
  for (const name of await readdir(storage))
    if (/\.new-\d+$/.test(name)) await rm(join(storage, name), { recursive: true, force: true });
}
