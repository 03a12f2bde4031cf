// Downloads against a local server: good, cut, resumed, changed meanwhile, damaged, refused, cancelled, no space.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DownloadOptions, download } from '../../../src/engine/cuda/download';
import type { Download } from '../../../src/engine/cuda/sources';
import { SessionError } from '../../../src/engine/errors';
import { fails, scratch } from '../files/scratch';
import { type FileServer, fileServer } from './fileServer';

const bytes = 300_000;

interface Setup {
  server: FileServer;
  folder: string;
  file: Download;
  get(options?: Partial<DownloadOptions>): Promise<string>;
}

async function setup(t: TestContext): Promise<Setup> {
  const content = randomBytes(bytes);
  const server = await fileServer(t, content);
  const folder = join(await scratch(t), 'downloads');
  const file: Download = {
    url: `${server.url}/file.whl`,
    name: 'file.whl',
    algorithm: 'sha256',
    checksum: createHash('sha256').update(content).digest('hex'),
    bytes: null,
  };
  const get = (options: Partial<DownloadOptions> = {}): Promise<string> =>
    download(file, folder, { signal: new AbortController().signal, onProgress: () => {}, ...options });
  return { server, folder, file, get };
}

const failed = (says: string[]) => ({ class: SessionError, code: 'download-failed', says });

test('fetches with progress, leaves nothing but the file, and does not fetch it again', async (t) => {
  const { server, folder, get } = await setup(t);
  const told: [number, number | null][] = [];
  const path = await get({ onProgress: (done, total) => told.push([done, total]) });
  assert.deepEqual(readFileSync(path), server.content);
  assert.deepEqual(readdirSync(folder), ['file.whl']);
  assert.deepEqual(told.at(-1), [bytes, bytes]);
  assert.ok(told.every(([done], i) => i === 0 || done > told[i - 1]![0]));
  assert.equal(await get(), path);
  assert.deepEqual(server.ranges, [null]);
});

test('a connection that is cut leaves a part, and the next attempt goes on from there', async (t) => {
  const { server, folder, get } = await setup(t);
  server.behaviour = { cutAfter: 100_000 };
  await fails(() => get(), failed(['file.whl']));
  const have = statSync(join(folder, 'file.whl.part')).size;
  assert.ok(have > 0 && have <= 100_000, String(have));
  server.behaviour = {};
  assert.deepEqual(readFileSync(await get()), server.content);
  assert.deepEqual(server.ranges, [null, `bytes=${have}-`]);
  assert.deepEqual(readdirSync(folder), ['file.whl']);
});

test('a server that takes no ranges sends everything, and the part is not kept in front of it', async (t) => {
  const { server, get } = await setup(t);
  server.behaviour = { cutAfter: 100_000 };
  await fails(() => get(), failed([]));
  server.behaviour = { ignoresRange: true };
  assert.deepEqual(readFileSync(await get()), server.content);
});

test('a file that changed on the server is fetched anew, because its ETag changed', async (t) => {
  const { server, get } = await setup(t);
  server.behaviour = { cutAfter: 100_000, etag: '"old"' };
  await fails(() => get(), failed([]));
  server.behaviour = { etag: '"new"' };
  assert.deepEqual(readFileSync(await get()), server.content);
  assert.deepEqual(server.starts, [0, 0]);
});

test('a part of another address or of another file is not gone on from', async (t) => {
  const { server, folder, get } = await setup(t);
  server.behaviour = { cutAfter: 100_000 };
  await fails(() => get(), failed([]));
  const facts = JSON.parse(readFileSync(join(folder, 'file.whl.part.json'), 'utf8'));
  writeFileSync(join(folder, 'file.whl.part.json'), JSON.stringify({ ...facts, checksum: 'other' }));
  server.behaviour = {};
  assert.deepEqual(readFileSync(await get()), server.content);
  assert.deepEqual(server.ranges, [null, null]);
});

test('a part that is whole already is checked, not fetched (416)', async (t) => {
  const { server, folder, get } = await setup(t);
  server.behaviour = { cutAfter: 100_000 };
  await fails(() => get(), failed([]));
  writeFileSync(join(folder, 'file.whl.part'), server.content);
  server.behaviour = {};
  assert.deepEqual(readFileSync(await get()), server.content);
});

test('a part longer than the file, or of other bytes, is damaged, removed, and the next attempt works', async (t) => {
  const { server, folder, get } = await setup(t);
  server.behaviour = { cutAfter: 100_000 };
  await fails(() => get(), failed([]));
  writeFileSync(join(folder, 'file.whl.part'), Buffer.alloc(bytes + 1));
  server.behaviour = {};
  await fails(() => get(), { class: SessionError, code: 'download-damaged', says: ['sha256', 'expected'] });
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(readFileSync(await get()), server.content);
});

test('a wrong checksum leaves nothing that could be taken for the file', async (t) => {
  const { server, folder, get } = await setup(t);
  server.content = randomBytes(bytes);
  await fails(() => get(), { class: SessionError, code: 'download-damaged', says: ['sha256'] });
  assert.deepEqual(readdirSync(folder), []);
});

test('an answer that ends early without saying so is told from its size or its checksum', async (t) => {
  const { server, file, folder, get } = await setup(t);
  server.behaviour = { shortOf: 200_000 };
  file.bytes = bytes;
  await fails(() => get(), failed(['200000 of 300000']));
  server.behaviour = {};
  assert.deepEqual(readFileSync(await get()), server.content);
  assert.deepEqual(readdirSync(folder), ['file.whl']);
});

test('an answer longer than the index says is broken off', async (t) => {
  const { file, get } = await setup(t);
  file.bytes = bytes - 1;
  await fails(() => get(), failed(['more than the 299999 bytes']));
});

test('refusals name the address and what the server said; so does a server that is not there', async (t) => {
  const { server, file, get } = await setup(t);
  for (const status of [404, 403, 500]) {
    server.behaviour = { status };
    await fails(() => get(), failed([`/file.whl answers ${status}`]));
  }
  file.url = 'http://127.0.0.1:1/file.whl';
  await fails(() => get(), failed(['127.0.0.1:1/file.whl cannot be fetched']));
});

test('cancelling a server that has gone silent ends at once and keeps the part', async (t) => {
  const { server, folder, get } = await setup(t);
  server.behaviour = { stalls: true };
  const abort = new AbortController();
  const reason = new Error('enough');
  await assert.rejects(
    get({ signal: abort.signal, onProgress: (done) => done >= bytes / 2 && abort.abort(reason) }),
    (error) => error === reason,
  );
  assert.equal(statSync(join(folder, 'file.whl.part')).size, bytes / 2);
  server.behaviour = {};
  assert.deepEqual(readFileSync(await get()), server.content);
  assert.equal(server.ranges.at(-1), `bytes=${bytes / 2}-`);
});

test('no space is told before anything is written', async (t) => {
  const { server, folder, get } = await setup(t);
  await fails(() => get({ freeBytes: async () => bytes - 1 }), {
    class: SessionError,
    code: 'disk-full',
    says: ['299999 bytes free', '300000 are needed'],
  });
  assert.equal(existsSync(join(folder, 'file.whl.part')), false);
  // What is there already needs no space again.
  server.behaviour = { cutAfter: 100_000 };
  await fails(() => get(), failed([]));
  const have = statSync(join(folder, 'file.whl.part')).size;
  server.behaviour = {};
  await get({ freeBytes: async () => bytes - have });
});
