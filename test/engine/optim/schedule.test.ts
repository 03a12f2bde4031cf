// Learning rates by step against transformers.get_scheduler (values computed once with transformers 5.23, base rate 1,
// 10 steps, 3 of warm-up).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learningRateAt, warmupSteps } from '../../../src/engine/optim/schedule';
import type { Schedule } from '../../../src/protocol/recipe';

const expected: Record<Schedule, number[]> = {
  constant: Array(10).fill(1),
  constant_with_warmup: [0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1],
  linear: [0, 1 / 3, 2 / 3, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7],
  cosine: [0, 1 / 3, 2 / 3, 1, 0.950484434, 0.811744901, 0.611260467, 0.388739533, 0.188255099, 0.049515566],
};

for (const [name, rates] of Object.entries(expected)) {
  test(`${name} follows transformers`, () => {
    const recipe = {
      learning_rate: 1,
      lr_scheduler_type: name as Schedule,
      warmup_steps: 3,
      warmup_ratio: 0,
    };
    for (const [i, rate] of rates.entries()) {
      assert.ok(Math.abs(learningRateAt(recipe, i + 1, 10) - rate) < 1e-6, `step ${i + 1}`);
    }
  });
}

test('warm-up by ratio rounds up, steps take precedence', () => {
  assert.equal(warmupSteps({ warmup_steps: 0, warmup_ratio: 0.03 }, 101), 4);
  assert.equal(warmupSteps({ warmup_steps: 7, warmup_ratio: 0.5 }, 100), 7);
});
