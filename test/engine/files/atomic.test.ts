import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as nodeFs from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RunError } from '../../../src/engine/errors';
import {
  type FileOperations,
  recover,
  writeFileAtomic,
  writeFolderAtomic,
} from '../../../src/engine/files/atomic';
import { fails, fillFolder, scratch, tree } from './scratch';

/** File operations of which one fails with `errno`; for `write` and `sync` the fault sits in the open file. */
function failing(
  operation: 'open' | 'rename' | 'mkdir' | 'write' | 'sync',
  errno: string,
  when = (_path: string) => true,
): FileOperations {
  const fault = () => Object.assign(new Error(`${errno}: simulated`), { code: errno });
  if (operation === 'write' || operation === 'sync') {
    return {
      ...nodeFs,
      open: (async (path: string, flags: string) => {
        const handle = await nodeFs.open(path, flags);
        return new Proxy(handle, {
          get(target, key) {
            const hit = operation === 'write' ? key === 'write' || key === 'writeFile' : key === operation;
            if (hit && flags === 'wx') return () => Promise.reject(fault());
            const value: unknown = Reflect.get(target, key);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      }) as FileOperations['open'],
    };
  }
  const plain: FileOperations = nodeFs;
  const real = plain[operation] as (...args: unknown[]) => Promise<unknown>;
  return {
    ...nodeFs,
    [operation]: (...args: unknown[]) => (when(String(args[0])) ? Promise.reject(fault()) : real(...args)),
  };
}

const faults = [
  { errno: 'ENOSPC', operation: 'write', code: 'disk-full' },
  { errno: 'ENOSPC', operation: 'sync', code: 'disk-full' },
  { errno: 'EDQUOT', operation: 'write', code: 'disk-full' },
  { errno: 'EROFS', operation: 'open', code: 'folder-read-only' },
  { errno: 'EACCES', operation: 'open', code: 'folder-read-only' },
  { errno: 'EPERM', operation: 'rename', code: 'folder-read-only' },
  { errno: 'EIO', operation: 'sync', code: 'disk-failure' },
  { errno: 'EFBIG', operation: 'write', code: 'file-too-large' },
  { errno: 'EMFILE', operation: 'open', code: 'too-many-open-files' },
] as const;

for (const { errno, operation, code } of faults) {
  test(`a file keeps its old content when ${operation} fails with ${errno}`, async (t) => {
    const folder = await scratch(t, { 'state.json': 'old' });
    const path = join(folder, 'state.json');
    const fs = failing(operation, errno);
    await fails(() => writeFileAtomic(path, 'new', fs), { class: RunError, code, says: [path, errno] });
    await fails(() => writeFileAtomic(path, [new Uint8Array(3)], fs), {
      class: RunError,
      code,
      says: [path],
    });
    assert.equal(await nodeFs.readFile(path, 'utf8'), 'old');
    assert.deepEqual(await tree(folder), ['state.json']);
  });

  test(`a folder keeps its old content when ${operation} fails with ${errno}`, async (t) => {
    const folder = await scratch(t, { 'adapter/a': 'old' });
    const path = join(folder, 'adapter');
    const fs = failing(operation, errno);
    const fill = (temporary: string) => writeFileAtomic(join(temporary, 'a'), 'new', fs);
    const error = await fails(() => writeFolderAtomic(path, fill, fs), {
      class: RunError,
      code,
      says: [path, errno],
    });
    assert.ok(!error.message.includes('.new-'), 'the message names the folder, not the aside');
    assert.equal(await nodeFs.readFile(join(path, 'a'), 'utf8'), 'old');
    assert.deepEqual(await tree(folder), ['adapter', 'adapter/a']);
  });
}

test('the old folder comes back when the new one cannot be renamed into place', async (t) => {
  const folder = await scratch(t, { 'adapter/a': 'old' });
  const path = join(folder, 'adapter');
  const fs = failing('rename', 'ENOSPC', (from) => from.includes('.new-'));
  await fails(
    () => writeFolderAtomic(path, async (temporary) => nodeFs.writeFile(join(temporary, 'a'), 'new'), fs),
    {
      class: RunError,
      code: 'disk-full',
      says: [path],
    },
  );
  assert.deepEqual(await tree(folder), ['adapter', 'adapter/a']);
  assert.equal(await nodeFs.readFile(join(path, 'a'), 'utf8'), 'old');
});

test('what stands in the way on a real disk is named', async (t) => {
  const folder = await scratch(t, { file: 'x', 'folder/a': 'y' });
  const nothing = async () => undefined;
  const cases = [
    [() => writeFileAtomic(join(folder, 'gone', 'a'), ''), 'folder-missing'],
    [() => writeFolderAtomic(join(folder, 'gone', 'a'), nothing), 'folder-missing'],
    [() => writeFolderAtomic(join(folder, 'file'), nothing), 'not-a-folder'],
    [() => writeFolderAtomic(join(folder, 'file', 'a'), nothing), 'not-a-folder'],
    [() => writeFileAtomic(join(folder, 'file', 'a'), ''), 'not-a-folder'],
    [() => writeFileAtomic(join(folder, 'folder'), ''), 'not-a-file'],
    [() => writeFileAtomic(join(folder, 'n'.repeat(300)), ''), 'name-too-long'],
    [() => writeFolderAtomic(join(folder, 'n'.repeat(300)), nothing), 'name-too-long'],
  ] as const;
  for (const [run, code] of cases) await fails(run, { class: RunError, code, says: [folder] });
  assert.deepEqual(await tree(folder), ['file', 'folder', 'folder/a']);
});

test('a folder that vanishes while it is filled is told as such', async (t) => {
  const folder = await scratch(t, { 'run/log': '' });
  const vanish = async (temporary: string) => {
    await nodeFs.rm(join(folder, 'run'), { recursive: true });
    await nodeFs.writeFile(join(temporary, 'a'), '');
  };
  await fails(() => writeFolderAtomic(join(folder, 'run', 'adapter'), vanish), {
    class: RunError,
    code: 'folder-missing',
    says: [join(folder, 'run', 'adapter')],
  });
  assert.deepEqual(await tree(folder), []);
});

test('an error of the content passes through and leaves nothing', async (t) => {
  const folder = await scratch(t);
  const content = async function* () {
    yield new Uint8Array(10);
    throw new Error('the source broke');
  };
  await assert.rejects(writeFileAtomic(join(folder, 'a'), content()), /the source broke/);
  await assert.rejects(
    writeFolderAtomic(join(folder, 'b'), async (temporary) => {
      await nodeFs.writeFile(join(temporary, 'half'), 'x');
      throw new Error('the source broke');
    }),
    /the source broke/,
  );
  assert.deepEqual(await tree(folder), []);
});

test('a folder is replaced as a whole', async (t) => {
  const folder = await scratch(t, { 'adapter/stale': 'old' });
  await writeFolderAtomic(join(folder, 'adapter'), (temporary) =>
    fillFolder(temporary, { a: '1', 'deep/b': '2' }),
  );
  assert.deepEqual(await tree(folder), ['adapter', 'adapter/a', 'adapter/deep', 'adapter/deep/b']);
});

test('the next call clears up after a killed writer', async (t) => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const folder = await scratch(t, {
    [`.adapter.old-${dead}-0/a`]: 'old',
    [`.adapter.new-${dead}-1/a`]: 'half',
    [`.state.json.new-${dead}-2`]: 'half',
    // Remains with our own process id come from before a restart, as in a container.
    [`.adapter.new-${process.pid}-999999/a`]: 'half',
    // A writer that lives is left alone.
    [`.adapter.new-${process.ppid}-3/a`]: 'busy',
  });
  await recover(join(folder, 'adapter'));
  assert.equal(await nodeFs.readFile(join(folder, 'adapter/a'), 'utf8'), 'old');
  await writeFileAtomic(join(folder, 'state.json'), 'new');
  assert.deepEqual(
    (await tree(folder)).filter((name) => !name.includes('/')),
    [`.adapter.new-${process.ppid}-3`, 'adapter', 'state.json'],
  );
});
