// Installations from folders, archives, wheels and a local package index: whole or not at all, of the right version only,
// and nothing outside the folder whatever an archive says. Long because every way in meets the same constructed packages.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type InstallOptions, type InstallOutcome, installProvider } from '../../../src/engine/cuda/install';
import { isSupported } from '../../../src/engine/cuda/report';
import { runtimePackage } from '../../../src/engine/cuda/runtimePackage';
import { nugetPackages, sourcesFor } from '../../../src/engine/cuda/sources';
import {
  findProvider,
  installationFolder,
  providerNames,
  readInstallation,
  storageFolder,
} from '../../../src/engine/cuda/storage';
import { SessionError, type UserErrorOptions } from '../../../src/engine/errors';
import { RunLock } from '../../../src/engine/run/runLock';
import { fails, fillFolder, scratch, tree } from '../files/scratch';
import { fileServer } from './fileServer';
import { elf, tgz, type ZipMember, zip } from './libraryFiles';

const version = '1.30.0';
const skip = process.platform !== 'linux' || !isSupported(process.platform, process.arch);
const [main, shared] = providerNames('linux').bridge as [string, string];
const provider = (of = version): Buffer => elf({ needed: ['libcudart.so.13'], content: `\0${of}\0` });
const sharedFile = elf({ name: shared });
const wheelName = `onnxruntime_gpu-${version}-cp312-cp312-manylinux_2_28_${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.whl`;

/** A wheel's members, its RECORD included. */
function wheel({ of = version, files = [provider(of), sharedFile], record = true } = {}): ZipMember[] {
  const members = [
    { name: `onnxruntime/capi/${main}`, content: files[0]! },
    { name: `onnxruntime/capi/${shared}`, content: files[1]! },
    {
      name: `onnxruntime_gpu-${of}.dist-info/METADATA`,
      content: Buffer.from(`Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: ${of}\n\nText\n`),
    },
  ];
  const rows = members.map(
    ({ name, content }) =>
      `${name},sha256=${createHash('sha256').update(content).digest('base64url')},${content.length}`,
  );
  const text = Buffer.from(`${rows.join('\n')}\n`);
  return record ? [...members, { name: `onnxruntime_gpu-${of}.dist-info/RECORD`, content: text }] : members;
}

interface Setup {
  storage: string;
  place(name: string, content: Uint8Array): string;
  install(options?: Partial<InstallOptions>): Promise<InstallOutcome>;
}

async function setup(t: TestContext): Promise<Setup> {
  const folder = await scratch(t);
  const storage = join(folder, 'storage');
  return {
    storage,
    place: (name, content) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    },
    install: (options = {}) =>
      installProvider({
        version,
        storage,
        from: null,
        env: {},
        signal: new AbortController().signal,
        onProgress: () => {},
        sources: [],
        ...options,
      }),
  };
}
type Wrong = {
  class: new (options: UserErrorOptions) => SessionError;
  code: string;
  says: (string | RegExp)[];
};
const wrong = (code: string, ...says: (string | RegExp)[]): Wrong => ({ class: SessionError, code, says });

/** No installation, and no remains of one. */
function assertNothing({ storage }: Setup): void {
  assert.deepEqual(
    readdirSync(storage).filter((name) => name !== 'downloads'),
    [],
  );
}

test('from a wheel, a NuGet package, a zip, a tgz and a folder', { skip }, async (t) => {
  const at = await setup(t);
  const nuspec = Buffer.from(`<package><metadata><version>${version}</version></metadata></package>`);
  const native = `runtimes/linux-${process.arch}/native`;
  const both = (folder: string) => [
    { name: `${folder}/${main}`, content: provider() },
    { name: `${folder}/${shared}`, content: sharedFile },
  ];
  const folder = join(at.storage, '..', 'given');
  await fillFolder(folder, { [`lib/${main}`]: provider(), [`lib/${shared}`]: sharedFile, 'README.md': 'x' });
  const sources = [
    at.place(wheelName, zip(wheel())),
    at.place(
      `microsoft.ml.onnxruntime.gpu.linux.${version}.nupkg`,
      zip([{ name: 'Microsoft.ML.OnnxRuntime.Gpu.Linux.nuspec', content: nuspec }, ...both(native)]),
    ),
    at.place('files.zip', zip(both('a'))),
    at.place('onnxruntime-linux-x64-gpu.tgz', tgz(both('onnxruntime-linux-x64-gpu/lib'))),
    folder,
    join(folder, 'lib'),
  ];
  for (const from of sources) {
    const { folder: installed, files, changed, source } = await at.install({ from });
    assert.equal(installed, installationFolder(at.storage, version));
    assert.equal(changed, true);
    assert.equal(source, from);
    assert.deepEqual(
      files.map(({ name }) => name),
      [main, shared],
    );
    assert.deepEqual(readFileSync(join(installed, main)), provider());
    assert.equal(files[0]!.sha256, createHash('sha256').update(provider()).digest('hex'));
    assert.deepEqual(readdirSync(installed).sort(), ['installation.json', main, shared].sort());
  }
  // Whatever else the runtime's folder holds, the product's own is found by version.
  const found = findProvider('/nowhere/libonnxruntime.so.1', at.storage);
  assert.equal(
    found?.provider,
    runtimePackage().version === version ? join(installationFolder(at.storage, version), main) : undefined,
  );
});

test('a plugin’s wheel is installed as a plugin, whatever its own version', { skip }, async (t) => {
  const at = await setup(t);
  const [plugin] = providerNames('linux').plugin as [string];
  const content = elf({ needed: ['libcudart.so.12'] });
  const from = at.place(
    'onnxruntime_ep_cuda12-0.3.0-py3-none-any.whl',
    zip([{ name: `onnxruntime_ep_cuda/${plugin}`, content }]),
  );
  await at.install({ from });
  assert.equal(readInstallation(installationFolder(at.storage, version))?.kind, 'plugin');
});

test('another version is refused by what the package says, and by what the library holds', {
  skip,
}, async (t) => {
  const at = await setup(t);
  const named = at.place('onnxruntime_gpu-1.29.0.whl', zip(wheel({ of: '1.29.0' })));
  await fails(() => at.install({ from: named }), wrong('provider-version', 'version 1.29.0', version));
  const unnamed = at.place(
    'files.tgz',
    tgz([
      { name: main, content: provider('1.29.0') },
      { name: shared, content: sharedFile },
    ]),
  );
  await fails(() => at.install({ from: unnamed }), wrong('provider-version', 'files.tgz', version));
  assertNothing(at);
});

test('what a wheel’s RECORD does not say is refused', { skip }, async (t) => {
  const at = await setup(t);
  const members = wheel();
  members[0] = { ...members[0]!, content: Buffer.concat([provider(), Buffer.from('more')]) };
  await fails(
    () => at.install({ from: at.place(wheelName, zip(members)) }),
    wrong('archive-damaged', main, 'RECORD'),
  );
  assertNothing(at);
});

test('a file for another processor, or none at all, is refused', { skip }, async (t) => {
  const at = await setup(t);
  const other = process.arch === 'arm64' ? 62 : 183;
  const foreign = elf({ machine: other, content: `\0${version}\0` });
  const from = at.place('foreign.whl', zip(wheel({ files: [foreign, sharedFile] })));
  await fails(() => at.install({ from }), wrong('provider-platform', main, process.arch));
  const text = at.place(
    'text.whl',
    zip(wheel({ files: [Buffer.from(`\0${version}\0`.repeat(20)), sharedFile] })),
  );
  await fails(() => at.install({ from: text }), wrong('library-invalid', main));
  assertNothing(at);
});

test('what is missing is named; so is what is no archive', { skip }, async (t) => {
  const at = await setup(t);
  const half = at.place('half.zip', zip([{ name: main, content: provider() }]));
  await fails(() => at.install({ from: half }), wrong('archive-incomplete', 'half.zip', shared));
  await fails(
    () => at.install({ from: at.place('x.rar', Buffer.from('x')) }),
    wrong('archive-unknown', 'x.rar'),
  );
  await fails(
    () => at.install({ from: at.place('x.whl', Buffer.from('no zip')) }),
    wrong('archive-damaged', 'x.whl'),
  );
  await fails(
    () => at.install({ from: at.place('x.tgz', Buffer.from('no gzip')) }),
    wrong('archive-damaged', 'x.tgz'),
  );
  await fails(() => at.install({ from: join(at.storage, 'none.whl') }), wrong('archive-missing', 'none.whl'));
  const good = tgz([
    { name: shared, content: sharedFile },
    { name: main, content: provider() },
  ]);
  for (const end of [good.length - 12, Math.floor(good.length / 2)])
    await fails(
      () => at.install({ from: at.place('cut.tgz', good.subarray(0, end)) }),
      wrong('archive-damaged', 'cut.tgz'),
    );
  const whole = zip(wheel());
  await fails(
    () => at.install({ from: at.place('cut.whl', whole.subarray(0, whole.length - 30)) }),
    wrong('archive-damaged', 'cut.whl'),
  );
  assertNothing(at);
});

test('an archive cannot write outside the folder, nor more than it says', { skip }, async (t) => {
  const at = await setup(t);
  const outside = ['../', '/tmp/', '..\\'].map((before) => ({
    name: `${before}${main}`,
    content: provider(),
  }));
  for (const member of outside) {
    const from = at.place('evil.zip', zip([member, { name: shared, content: sharedFile }]));
    const kept = at.place('evil.tgz', tgz([member, { name: shared, content: sharedFile }]));
    for (const path of [from, kept]) {
      const before = (await tree(join(at.storage, '..'))).filter((name) => !name.startsWith('storage'));
      await at
        .install({ from: path })
        .catch((error) => assert.ok(error instanceof SessionError, String(error)));
      const after = (await tree(join(at.storage, '..'))).filter((name) => !name.startsWith('storage'));
      assert.deepEqual(after, before);
      assert.equal(existsSync(`/tmp/${main}`), false);
    }
  }
});

test('a bomb is refused by its ratio, by its size and by what it really holds', { skip }, async (t) => {
  const at = await setup(t);
  const zeros = Buffer.alloc(8 << 20);
  const bomb = at.place(
    'bomb.whl',
    zip([
      { name: main, content: zeros },
      { name: shared, content: sharedFile },
    ]),
  );
  await fails(() => at.install({ from: bomb }), wrong('archive-too-large', /grows from \d+ to 8388608/));
  const liar = at.place(
    'liar.whl',
    zip([
      { name: main, content: zeros, claimedBytes: 4000 },
      { name: shared, content: sharedFile },
    ]),
  );
  await fails(() => at.install({ from: liar }), wrong('archive-damaged', main));
  const giant = at.place('giant.tgz', tgz([{ name: main, content: Buffer.alloc(0), claimedBytes: 2 ** 32 }]));
  await fails(() => at.install({ from: giant }), wrong('archive-too-large', 'giant.tgz'));
  assertNothing({ ...at });
});

test('a second installation changes nothing; a damaged one is replaced; a failed one leaves the old', {
  skip,
}, async (t) => {
  const at = await setup(t);
  const from = at.place(wheelName, zip(wheel()));
  const { folder } = await at.install({ from });
  assert.equal((await at.install()).changed, false);
  await fails(() => at.install({ from: at.place('x.whl', Buffer.from('no zip')) }), wrong('archive-damaged'));
  assert.deepEqual(readFileSync(join(folder, main)), provider());
  const bytes = provider();
  bytes[bytes.length - 3] = 0x7a;
  writeFileSync(join(folder, main), bytes);
  await fails(() => at.install(), wrong('download-failed'));
  assert.equal((await at.install({ from })).changed, true);
  assert.deepEqual(readFileSync(join(folder, main)), provider());
});

test('no space is told before anything is unpacked', { skip }, async (t) => {
  const at = await setup(t);
  const from = at.place(wheelName, zip(wheel()));
  await fails(() => at.install({ from, freeBytes: async () => 100 }), wrong('disk-full', '100 bytes free'));
  assertNothing(at);
});

test('one process at a time; remains of one that died are cleared away', { skip }, async (t) => {
  const at = await setup(t);
  const from = at.place(wheelName, zip(wheel()));
  mkdirSync(at.storage, { recursive: true });
  const lock = RunLock.take(join(at.storage, 'install.lock'));
  await fails(() => at.install({ from }), wrong('install-locked', String(process.pid)));
  lock.release();
  mkdirSync(join(at.storage, `${version}-linux-x64.new-99999999`));
  await at.install({ from });
  assert.deepEqual(readdirSync(at.storage), [`${version}-linux-${process.arch}`]);
});

test('fetches from the indexes in turn, with their checksums', { skip }, async (t) => {
  const at = await setup(t);
  const content = zip(wheel());
  const server = await fileServer(t, content);
  const checksum = createHash('sha256').update(content).digest('hex');
  const other = wheelName.replace('cp312-cp312', 'cp313-cp313');
  server.pages['/simple/onnxruntime-gpu/'] = [
    `<a href="../../file/onnxruntime_gpu-1.29.0-cp312-cp312-manylinux_2_28_x86_64.whl#sha256=${'0'.repeat(64)}">a</a>`,
    `<a href="../../file/${other}#sha256=${'1'.repeat(64)}">b</a>`,
    `<a data-x="1" href="../../file/${wheelName}#sha256=${checksum}" data-requires-python="&gt;=3.11">c</a>`,
    `<a href="../../file/onnxruntime_gpu-${version}-cp312-cp312-win_amd64.whl#sha256=${'2'.repeat(64)}">d</a>`,
  ].join('\n');
  const told: string[] = [];
  const env = {
    LORA_WORKBENCH_NUGET_INDEX: `${server.url}/none/index.json`,
    PIP_INDEX_URL: `${server.url}/simple/`,
  };
  const sources = sourcesFor(`linux-${process.arch}`, env);
  const outcome = await at.install({ sources, onProgress: (message) => told.push(message) });
  assert.equal(outcome.source, `${server.url}/file/${wheelName}`);
  assert.equal(outcome.changed, true);
  assert.deepEqual(readdirSync(join(at.storage, 'downloads')), []);
  assert.ok(
    told.some((message) => message.startsWith(`Fetching ${wheelName}`)),
    told.join('\n'),
  );
  assert.equal((await at.install({ sources })).changed, false);
});

test('fetches from NuGet by its protocol', { skip }, async (t) => {
  const at = await setup(t);
  const content = zip(wheel({ record: false }));
  const server = await fileServer(t, content);
  const id = 'microsoft.ml.onnxruntime.gpu.linux';
  const entry = {
    packageHash: createHash('sha512').update(content).digest('base64'),
    packageHashAlgorithm: 'SHA512',
    packageSize: content.length,
  };
  server.pages['/v3/index.json'] = JSON.stringify({
    resources: [
      { '@type': 'RegistrationsBaseUrl', '@id': 'http://127.0.0.1:1/' },
      { '@type': 'RegistrationsBaseUrl/3.6.0', '@id': `${server.url}/registration/` },
    ],
  });
  server.pages[`/registration/${id}/${version}.json`] = JSON.stringify({
    catalogEntry: `${server.url}/catalog.json`,
    packageContent: `${server.url}/file.nupkg`,
  });
  server.pages['/catalog.json'] = () => JSON.stringify(entry);
  const [source] = sourcesFor('linux-x64', { LORA_WORKBENCH_NUGET_INDEX: `${server.url}/v3/index.json` });
  assert.equal((await at.install({ sources: [source!] })).source, `${server.url}/file.nupkg`);

  const again = await setup(t);
  entry.packageHash = createHash('sha512').update('other').digest('base64');
  await fails(() => again.install({ sources: [source!] }), wrong('download-damaged', 'sha512'));
  entry.packageHashAlgorithm = 'MD5';
  await fails(() => again.install({ sources: [source!] }), wrong('index-unexpected', 'SHA512'));
});

test('an index that answers nonsense, or no index at all, says so', { skip }, async (t) => {
  const at = await setup(t);
  const server = await fileServer(t, Buffer.alloc(1));
  server.pages['/simple/onnxruntime-gpu/'] = `<a href="file/onnxruntime_gpu-1.2.0-x.whl">`;
  server.pages['/nuget'] = '<html>';
  const system = `linux-${process.arch}`;
  const env = { LORA_WORKBENCH_NUGET_INDEX: `${server.url}/nuget`, PIP_INDEX_URL: `${server.url}/simple` };
  const python = sourcesFor(system, env).slice(-1);
  await fails(() => at.install({ sources: python }), wrong('index-unexpected', 'no wheel of version'));
  server.pages['/simple/onnxruntime-gpu/'] = `<a href="/file/${wheelName}">`;
  await fails(() => at.install({ sources: python }), wrong('index-unexpected', 'no SHA256'));
  await fails(
    () => at.install({ sources: sourcesFor('linux-x64', env).slice(0, 1) }),
    wrong('index-unexpected', 'not JSON'),
  );
  await fails(
    () => at.install({ sources: sourcesFor('linux-x64', env) }),
    wrong('download-failed', 'not JSON', 'no SHA256'),
  );
});

test('the same package as the runtime’s own installer', () => {
  const metadata = require(
    join(process.cwd(), 'node_modules/onnxruntime-node/script/install-metadata.js'),
  ) as {
    packages: Record<string, { name: string; versions: { version: string }[] }>;
    requirements: Record<string, string[]>;
    manifests: Record<string, Record<string, unknown>>;
  };
  const own = metadata.packages['nuget:linux/x64:cuda12']!;
  assert.equal(nugetPackages['linux-x64'], own.name);
  assert.deepEqual(
    own.versions.map((entry) => entry.version),
    [runtimePackage().version],
  );
  const files = Object.keys(metadata.manifests['linux/x64:cuda12']!).map((name) => name.replace('./', ''));
  for (const name of providerNames('linux').bridge) assert.ok(files.includes(name), name);
  assert.deepEqual(
    Object.keys(metadata.requirements).filter((system) => metadata.requirements[system]!.length > 0),
    ['linux/x64'],
  );
});

test('the folder for the files follows the system’s rules and its override', () => {
  assert.equal(storageFolder({}, 'linux', '/home/u'), '/home/u/.local/share/lora-workbench/cuda');
  assert.equal(storageFolder({ XDG_DATA_HOME: '/data' }, 'linux', '/home/u'), '/data/lora-workbench/cuda');
  assert.equal(
    storageFolder({ XDG_DATA_HOME: 'relative' }, 'linux', '/h'),
    '/h/.local/share/lora-workbench/cuda',
  );
  assert.equal(storageFolder({ LORA_WORKBENCH_CUDA_FOLDER: '/own' }, 'linux', '/h'), '/own');
});
