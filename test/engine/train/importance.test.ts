// LoRA-drop's importance is a mean over the tokens of the data: how many rows and columns of padding a batch has, and what
// fills them, changes nothing.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AdapterPlan, planAdapter } from '../../../src/engine/adapters/plan';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import type { BatchOptions, Example } from '../../../src/engine/data';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { uploadParameters } from '../../../src/engine/execution/evaluator';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import type { Runtime } from '../../../src/engine/session';
import { Preparation } from '../../../src/engine/train/preparation';
import type { Recipe } from '../../../src/protocol/recipe';
import { adapterSettings, randomValues } from '../../contracts/randomAdapter';
import { onCpu } from '../session/cpuRuntime';

const recipe = { data_seed: 1, gradient_accumulation_steps: 1, num_train_epochs: 1 } as Recipe;

/** What the method is told of every module, and the importances that it makes of that. */
async function measured(runtime: Runtime, options: Partial<BatchOptions>) {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
  const model = modelFromConfig(checkpoint.config);
  const settings = adapterSettings(model, {
    adapter: 'lora_drop',
    target_modules: ['q_proj', 'down_proj'],
    settings: { sample_ratio: 1, threshold: 0.5, warm_steps: 1, warm_start: false, kept_modules: null },
  });
  const plan = planAdapter(model, settings);
  let responses: ReadonlyMap<string, number> = new Map();
  const listening: AdapterPlan = {
    ...plan,
    variant: {
      ...plan.variant,
      preparation: {
        ...plan.variant.preparation!,
        conclude(sites, own, response) {
          responses = response;
          return plan.variant.preparation!.conclude(sites, own, response);
        },
      },
    },
  };
  const random = new Random(3, 'examples');
  const examples = [3, 9, 5, 7, 2].map(
    (length, i): Example => ({
      ids: Int32Array.from({ length }, () => random.below(model.vocabularySize)),
      trained: new Uint8Array(length).fill(1),
      file: 'train.jsonl',
      row: i + 1,
      line: i + 1,
      truncatedTokens: 0,
    }),
  );
  const batches = { max_length: 16, seed: 1, pad_token_id: 0, per_device_train_batch_size: 1, ...options };
  const preparation = Preparation.of(recipe, listening, examples, batches)!;
  const values = randomValues(plan, 0.3);
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const parameters = uploadParameters(runtime, plan, values);
  try {
    const { modules } = await preparation.conclude({
      runtime,
      model,
      weights,
      parameters,
      packing: batches.packing ?? false,
      values,
      planFor: (own) => planAdapter(model, own),
      cancelled: () => false,
    });
    return { responses, importances: new Map(modules.map(({ path, importance }) => [path, importance])) };
  } finally {
    parameters.release();
    weights.release();
  }
}

const layouts: Record<string, Partial<BatchOptions>> = {
  'columns of padding': { pad_to_multiple_of: 16 },
  'rows of padding': { per_device_train_batch_size: 4, pad_to_multiple_of: 1 },
  'both, filled with another token': {
    per_device_train_batch_size: 4,
    pad_to_multiple_of: 16,
    pad_token_id: 7,
  },
  'packs with padding behind them': {
    per_device_train_batch_size: 3,
    packing: true,
    pad_to_multiple_of: 16,
  },
};

for (const [name, options] of Object.entries(layouts)) {
  test(`${name}: importances are those of the tokens alone`, () =>
    onCpu(async (runtime) => {
      // One example a batch, as long as it is: no padding at all.
      const alone = await measured(runtime, { pad_to_multiple_of: 1 });
      const padded = await measured(runtime, options);
      assert.ok(alone.responses.size > 2);
      for (const of of ['responses', 'importances'] as const) {
        assert.deepEqual([...padded[of].keys()], [...alone[of].keys()]);
        for (const [path, want] of alone[of]) {
          const found = padded[of].get(path)!;
          assert.ok(
            want > 0 && Math.abs(found - want) <= 1e-5 * want,
            `${of} of ${path}: ${found}, not ${want}`,
          );
        }
      }
    }));
}
