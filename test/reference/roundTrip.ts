// Trains adapters on the training goldens with this engine and saves them, for PEFT to load: the first half of the round trip.
// test/reference/README.md says how to run it and the check in PEFT that follows.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adapterFiles } from '../../src/engine/adapters/adapterFiles';
import { convertedPlan, convertedValues } from '../../src/engine/adapters/convert';
import { writeAdapterFolder } from '../../src/engine/adapters/peftWriting';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../src/engine/adapters/settings';
import { readRaw, readSafetensors, writeSafetensors } from '../../src/engine/checkpoint/safetensors';
import type { Model } from '../../src/engine/models/architecture';
import { openRuntime } from '../../src/engine/session';
import { methodGoldens, openGolden, trainingGoldens } from '../contracts/goldenTraining';
import { adapterSettings, randomEarlier } from '../contracts/randomAdapter';

const steps = 20;
const cases = ['llama-lora', 'qwen2-all-linear-rslora', 'llama-patterns-modules-to-save', 'gpt2-bias-all'];

/** Methods that PEFT has, in its own files. */
const methods = [
  'llama-vera',
  'gpt2-vera-regenerated',
  'llama-adalora',
  'gpt2-adalora',
  'llama-dora',
  'gpt2-dora',
  'llama-lora-fa',
  'gpt2-lora-fa-peft',
  'gpt2-lora-plus-embedding',
  'llama-eva',
  'gpt2-eva',
  'gpt2-lora-bias',
  'gpt2-longlora',
  'gpt2-patterns-modules-to-save',
];

/** Methods that PEFT does not have, on the batches of a training golden; saved beside the LoRA that says the same. */
const own: Record<string, { golden: string; settings: Partial<AdapterSettings>; earlier?: true }> = {
  'llama-mora': { golden: 'llama-lora', settings: { adapter: 'mora', r: 2, settings: { mora_type: 2 } } },
  'gpt2-mora': { golden: 'gpt2-bias-all', settings: { adapter: 'mora', r: 2, settings: { mora_type: 1 } } },
  'llama-o-lora': { golden: 'llama-lora', settings: { adapter: 'o_lora', lora_alpha: 6 }, earlier: true },
  'llama-lora-xs': { golden: 'llama-lora', settings: { adapter: 'lora_xs', lora_alpha: 6 } },
  'gpt2-lora-xs': { golden: 'gpt2-bias-all', settings: { adapter: 'lora_xs', lora_alpha: 6 } },
  'llama-lora-drop': {
    golden: 'llama-lora',
    settings: {
      adapter: 'lora_drop',
      lora_alpha: 6,
      settings: {
        sample_ratio: 0.1,
        threshold: 0.9,
        warm_steps: 2,
        warm_start: false,
        kept_modules: ['model.layers.0.self_attn.q_proj'],
      },
    },
  },
  'gpt2-delta-lora': {
    golden: 'gpt2-bias-all',
    settings: { adapter: 'delta_lora', lora_alpha: 6, settings: { delta_lambda: 0.5, delta_start: 3 } },
  },
  'llama-relora': {
    golden: 'llama-lora',
    settings: {
      adapter: 'relora',
      lora_alpha: 6,
      settings: { relora_steps: 7, relora_merges: 2, relora_warmup: 2 },
    },
  },
};

/** Runs on a changed base, saved as the converted LoRA of the original one. */
const converted = ['llama-pissa-scaled', 'gpt2-milora', 'llama-corda-kpm', 'gpt2-corda-kpm', 'gpt2-olora'];

async function main(): Promise<void> {
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  const all = [...cases, ...methods, ...Object.keys(own), ...converted];
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : all) {
    const converts = converted.includes(name);
    const other = own[name];
    const golden = await openGolden(
      runtime,
      join(converts || methods.includes(name) ? methodGoldens : trainingGoldens, other?.golden ?? name),
      'selective',
      undefined,
      other && ((model) => planOf(model, other)),
    );
    const start = golden.trainer.state.readAll();
    for (let i = 0; i < steps; i++) await golden.step(i);
    const folder = join('test', 'goldens', 'roundtrip', name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const { plan, trainer, baseFolder } = golden;
    const values = trainer.state.readAll();
    const files = converts
      ? adapterFiles(convertedPlan(plan), convertedValues(plan, values, start), baseFolder)
      : adapterFiles(plan, values, baseFolder, trainer.host?.state().values);
    await writeAdapterFolder(join(folder, 'adapter'), files);
    // The base's own golden holds token ids that PEFT is asked about.
    const expected = await readSafetensors(join(baseFolder, 'expected.safetensors'));
    const inputs = await Promise.all(
      ['input_ids', 'lengths'].flatMap((key) => {
        const ref = expected.tensors.get(key);
        return ref
          ? [readRaw(ref).then((data) => ({ name: key, dtype: 'I64' as const, shape: ref.shape, data }))]
          : [];
      }),
    );
    await writeSafetensors(join(folder, 'inputs.safetensors'), inputs);
    writeFileSync(join(folder, 'case.json'), `${JSON.stringify({ base: golden.expected.base, steps })}\n`);
    golden.release();
  }
  await runtime.close();
}

function planOf(model: Model, { settings, earlier }: (typeof own)[string]): AdapterPlan {
  const given = adapterSettings(model, settings);
  const plan = planAdapter(model, given);
  return earlier ? planAdapter(model, given, randomEarlier(plan, 0.2)) : plan;
}

void main();
