// Trains adapters on the training goldens with this engine and saves them, for PEFT to load: the first half of the round trip.
// test/reference/README.md says how to run it and the check in PEFT that follows.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adapterFiles } from '../../src/engine/adapters/adapterFiles';
import { convertedPlan, convertedValues } from '../../src/engine/adapters/convert';
import { writeAdapterFolder } from '../../src/engine/adapters/peftFile';
import { readRaw, readSafetensors, writeSafetensors } from '../../src/engine/checkpoint/safetensors';
import { openRuntime } from '../../src/engine/session';
import { methodGoldens, openGolden, trainingGoldens } from '../contracts/goldenTraining';

const steps = 20;
const cases = ['llama-lora', 'qwen2-all-linear-rslora', 'llama-patterns-modules-to-save', 'gpt2-bias-all'];

/** Runs on a changed base, saved as the converted LoRA of the original one. */
const converted = ['llama-pissa-scaled', 'gpt2-milora', 'llama-corda-kpm'];

async function main(): Promise<void> {
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : [...cases, ...converted]) {
    const converts = converted.includes(name);
    const golden = await openGolden(
      runtime,
      join(converts ? methodGoldens : trainingGoldens, name),
      'selective',
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
      : adapterFiles(plan, values, baseFolder);
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

void main();
