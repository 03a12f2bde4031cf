// A run whose device has no memory left: what it says, what its log holds, and that the device goes on. The CPU's limit on
// activations stands in for a device.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SessionError } from '../../../src/engine/errors';
import { askedBytes } from '../../../src/engine/train/outOfMemory';
import { TestHost, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

const limit = 'LORA_WORKBENCH_CPU_MEMORY_LIMIT';

test('it says what was asked for, what was free and what needs less; the next run works', async () => {
  const host = new TestHost();
  const settings = { max_steps: 2, max_length: 256, per_device_train_batch_size: 8, packing: true };
  process.env[limit] = '3MiB';
  try {
    await assert.rejects(
      trainTiny(folder, { ...settings, output_dir: 'runs/large' }, host),
      (error: unknown) => {
        assert.ok(error instanceof SessionError);
        assert.equal(error.code, 'out-of-memory');
        assert.match(
          error.message,
          /^cpu has no room for \d+\.\d MiB more\. This run held \d+\.\d MiB there/,
        );
        assert.match(error.message, /; \S+ [MG]iB were free\./);
        assert.match(error.remedy, /^Set one of: .*per_device_train_batch_size: \d.* less\)/);
        assert.ok(Number(error.facts.asked_bytes) > 0 && Number(error.facts.free_bytes) > 0);
        assert.ok((error.cause as SessionError).message.includes('requested bytes of'));
        return true;
      },
    );
    const [failed] = host.of('failed');
    assert.equal(failed?.error.code, 'out-of-memory');
    assert.match(failed?.error.remedy ?? '', /per_device_train_batch_size/);
  } finally {
    delete process.env[limit];
  }
  const next = await trainTiny(folder, { ...settings, output_dir: 'runs/next' });
  assert.equal(next.steps, 2);
});

test('what was asked for is read from the words of both allocators', () => {
  assert.equal(askedBytes('Available memory of 12 is smaller than requested bytes of 4096'), 4096);
  assert.equal(askedBytes('Failed to allocate memory for requested buffer of size 268435456'), 268435456);
  assert.equal(askedBytes('CUBLAS_STATUS_ALLOC_FAILED'), null);
});
