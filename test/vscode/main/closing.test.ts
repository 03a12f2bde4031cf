// The last thing that the first window does: it starts a training and is closed. The second suite finds it again.
import assert from 'node:assert/strict';
import { suite, test } from 'mocha';
import { extension, isAlive, startAndStep } from '../support';

suite('closing the window', () => {
  test('leaves a training under way', async () => {
    const run = await startAndStep(await extension(), 'long.lora.yaml', 3);
    assert.ok(isAlive(run.pid!));
  });
});
