// What is learnt from the data does not depend on how many modules are looked at together.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { grouped, passBytes } from '../../../src/engine/train/calibrationPasses';
import { TestHost, tinyWorkspace, trainTiny } from './tinyRun';

let work: Awaited<ReturnType<typeof tinyWorkspace>>;
before(async () => {
  work = await tinyWorkspace();
});
after(() => work.clean());

test('groups fill up to the limit; what shares an input stays together and counts once', () => {
  const inputs = [3, 1, 2, 1].map((count, i) =>
    Array.from({ length: count }, () => ({ inFeatures: 10 + i })),
  );
  const groups = grouped(inputs, () => 10, 20);
  assert.deepEqual(
    groups.map((group) => group.map(({ inFeatures }) => inFeatures)),
    [
      [10, 10, 10, 11],
      [12, 12, 13],
    ],
  );
  assert.equal(grouped(inputs, () => 10, 1).length, 4);
});

for (const init of ['eva', 'corda']) {
  test(`${init}: one input at a time gives the bits of all at once`, async () => {
    const given = { ...passBytes };
    const start = async (name: string): Promise<Buffer> => {
      const output_dir = join(work.folder, `${init} ${name}`);
      const settings = {
        init_lora_weights: init,
        max_steps: 1,
        ...(init === 'corda' ? { calibration_samples: 6 } : {}),
      };
      const { adapter } = await trainTiny(work.folder, { output_dir, ...settings }, new TestHost());
      return readFileSync(join(adapter, 'adapter_model.safetensors'));
    };
    const together = await start('together');
    try {
      Object.assign(passBytes, { covariances: 1, inputs: 1 });
      assert.ok(together.equals(await start('apart')));
    } finally {
      Object.assign(passBytes, given);
    }
  });
}
