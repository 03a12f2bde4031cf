// Where the provider's files of one version are published for this system: addresses with checksums, from the package
// indexes' own metadata. NuGet is where onnxruntime-node takes them from; the Python package holds the same files.
import { basename } from 'node:path';
import { SessionError } from '../errors';
import { isOlder } from './driver';
import { fetchText } from './http';

export interface Download {
  url: string;
  /** File name to keep it under; its ending says what it is. */
  name: string;
  algorithm: 'sha256' | 'sha512';
  /** In hexadecimal digits. */
  checksum: string;
  /** Null where the index does not tell. */
  bytes: number | null;
}

export interface Source {
  name: string;
  find(version: string, signal: AbortSignal): Promise<Download>;
}

/** Names other indexes, for mirrors. pip's own variable counts too. */
export const nugetVariable = 'LORA_WORKBENCH_NUGET_INDEX';
const nugetIndex = 'https://api.nuget.org/v3/index.json';
const pythonIndex = 'https://pypi.org/simple';

/** The NuGet package that onnxruntime-node's installer takes the files from, by platform and processor. */
export const nugetPackages: Readonly<Record<string, string>> = {
  'linux-x64': 'Microsoft.ML.OnnxRuntime.Gpu.Linux',
};
const pythonPackage = 'onnxruntime-gpu';
/** How a wheel's name ends for a system. */
const wheelPlatforms: Readonly<Record<string, RegExp>> = {
  'linux-x64': /-manylinux[\w.]*_x86_64\.whl$/,
  'linux-arm64': /-manylinux[\w.]*_aarch64\.whl$/,
  'win32-x64': /-win_amd64\.whl$/,
};

/** In the order in which they are tried. */
export function sourcesFor(
  system: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly Source[] {
  const sources: Source[] = [];
  const nuget = nugetPackages[system];
  if (nuget !== undefined) {
    const index = env[nugetVariable] || nugetIndex;
    sources.push({
      name: `NuGet (${nuget})`,
      find: (version, signal) => onNuget(index, nuget, version, signal),
    });
  }
  const wheel = wheelPlatforms[system];
  if (wheel !== undefined) {
    const index = pythonIndexOf(env);
    sources.push({
      name: `PyPI (${pythonPackage})`,
      find: (version, signal) => onPython(index, wheel, version, signal),
    });
  }
  return sources;
}

/** NuGet's protocol: service index → registration of one version → catalogue entry with checksum and size. */
async function onNuget(index: string, id: string, version: string, signal: AbortSignal): Promise<Download> {
  const service = parse(await fetchText(index, signal), index);
  const resources = Array.isArray(service.resources) ? (service.resources as unknown[]) : [];
  const base = resources
    .map(record)
    .find((entry) => /^RegistrationsBaseUrl\/3\.6\.0$/.test(String(entry['@type'])))?.['@id'];
  if (typeof base !== 'string') throw unexpected(index, 'it names no RegistrationsBaseUrl/3.6.0');
  const leafUrl = `${base.replace(/\/*$/, '/')}${id.toLowerCase()}/${version.toLowerCase()}.json`;
  const leaf = parse(await fetchText(leafUrl, signal), leafUrl);
  const entryUrl = typeof leaf.catalogEntry === 'string' ? leaf.catalogEntry : undefined;
  const entry =
    entryUrl === undefined ? record(leaf.catalogEntry) : parse(await fetchText(entryUrl, signal), entryUrl);
  const { packageHash, packageHashAlgorithm, packageSize } = entry;
  const url = leaf.packageContent;
  if (typeof url !== 'string' || typeof packageHash !== 'string' || packageHashAlgorithm !== 'SHA512')
    throw unexpected(entryUrl ?? leafUrl, 'it names no package with a SHA512 checksum');
  return {
    url: address(url, leafUrl),
    name: `${id.toLowerCase()}.${version}.nupkg`,
    algorithm: 'sha512',
    checksum: Buffer.from(packageHash, 'base64').toString('hex'),
    bytes: Number.isSafeInteger(packageSize) ? (packageSize as number) : null,
  };
}

/** Python's simple index (PEP 503): links with `#sha256=`. The wheels of one version differ in Python's part alone. */
async function onPython(
  index: string,
  platform: RegExp,
  version: string,
  signal: AbortSignal,
): Promise<Download> {
  const page = `${index}/${pythonPackage}/`;
  const start = `${pythonPackage.replaceAll('-', '_')}-${version}-`;
  const links = (await wheelLinks(page, signal)).filter(
    ({ name }) => name.startsWith(start) && platform.test(name),
  );
  const [first] = links.sort((a, b) => (a.name < b.name ? -1 : 1));
  if (first === undefined) throw unexpected(page, `it has no wheel of version ${version} for this system`);
  return wheelDownload(first, page);
}

/** The newest wheel of a package whose version begins with `major`, for a system. */
export async function newestWheel(
  name: string,
  major: number,
  system: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Download> {
  const page = `${pythonIndexOf(env)}/${name}/`;
  const platform = wheelPlatforms[system];
  const start = `${name.replaceAll('-', '_')}-`;
  let newest: (WheelLink & { version: string }) | undefined;
  for (const link of await wheelLinks(page, signal)) {
    // Final releases alone.
    const version = /^(\d+(?:\.\d+)*)-/.exec(link.name.slice(start.length))?.[1];
    if (!link.name.startsWith(start) || !platform?.test(link.name) || version === undefined) continue;
    if (Number(version.split('.')[0]) !== major) continue;
    if (newest === undefined || isOlder(newest.version, version)) newest = { ...link, version };
  }
  if (newest === undefined) throw unexpected(page, `it has no wheel of version ${major} for this system`);
  return wheelDownload(newest, page);
}

interface WheelLink {
  url: string;
  name: string;
  checksum: string | undefined;
}

async function wheelLinks(page: string, signal: AbortSignal): Promise<WheelLink[]> {
  const text = await fetchText(page, signal);
  return [...text.matchAll(/<a\s[^>]*href="([^"]+)"/gi)].map(([, href = '']) => {
    const [url = '', checksum] = href.replaceAll('&amp;', '&').split('#sha256=');
    return { url, name: nameOf(url), checksum };
  });
}

function nameOf(url: string): string {
  try {
    return decodeURIComponent(url.split('/').at(-1) ?? '');
  } catch {
    return '';
  }
}

function wheelDownload({ url, name, checksum }: WheelLink, page: string): Download {
  if (checksum === undefined || !/^[0-9a-f]{64}$/.test(checksum))
    throw unexpected(page, `it names no SHA256 checksum for ${name}`);
  return { url: address(url, page), name: basename(name), algorithm: 'sha256', checksum, bytes: null };
}

function pythonIndexOf(env: Readonly<Record<string, string | undefined>>): string {
  return (env.PIP_INDEX_URL || pythonIndex).replace(/\/+$/, '');
}

function parse(text: string, url: string): Record<string, unknown> {
  try {
    return record(JSON.parse(text));
  } catch {
    throw unexpected(url, 'it is not JSON');
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** A link's whole address; one that is not encrypted is refused where its page was. */
function address(url: string, page: string): string {
  const whole = URL.canParse(url, page) ? new URL(url, page) : undefined;
  if (whole === undefined || (whole.protocol !== 'https:' && whole.protocol !== new URL(page).protocol))
    throw unexpected(page, `it leads to ${url}`);
  return whole.href;
}

function unexpected(url: string, what: string): SessionError {
  return new SessionError({
    code: 'index-unexpected',
    message: `The package index answers unexpectedly at ${url}: ${what}.`,
    remedy: 'Give the files by --from, or name another index.',
  });
}
