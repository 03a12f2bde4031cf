// Writes what a run trained: a PEFT adapter folder, or for full fine-tuning a whole Hugging Face checkpoint. Comes in: a plan
// and values by tensor name. Nothing is ever half there.
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type AdapterToWrite, writeAdapterFolder } from '../adapters/peftFile';
import { tensorName } from '../adapters/peftNames';
import type { AdapterPlan } from '../adapters/plan';
import { peftOfPlan } from '../adapters/settings';
import { writeSafetensors } from '../checkpoint/safetensors';
import { writeFolderAtomic } from '../files/atomic';

/** Files of a checkpoint folder that belong to a copy of it with other weights. */
const companions =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^(merges\.txt|tokenizer\.model|chat_template\.(jinja|json))$/;

export interface Trained {
  plan: AdapterPlan;
  /** Values in the files' layout, by tensor name. */
  values: ReadonlyMap<string, Float32Array>;
  /** The base checkpoint's folder. */
  baseFolder: string;
}

/** Whether a plan's result is an adapter; else it is a whole model. */
export function isAdapter(plan: AdapterPlan): boolean {
  return plan.sites.size > 0;
}

/** Tensors as they stand in the adapter's file. */
export function adapterTensors({
  plan,
  values,
}: Pick<Trained, 'plan' | 'values'>): AdapterToWrite['tensors'] {
  return plan.tensors.map(({ name, shape }) => {
    const dot = name.lastIndexOf('.');
    return { name: tensorName(name.slice(0, dot), name.slice(dot + 1)), shape, data: values.get(name)! };
  });
}

/** Writes the result to `folder`: an adapter or a model, by the plan. */
export async function writeResult(
  folder: string,
  trained: Trained,
  facts: readonly (readonly [string, string | number])[],
): Promise<void> {
  const { plan, baseFolder } = trained;
  if (!isAdapter(plan)) return writeModel(folder, trained);
  await writeAdapterFolder(folder, {
    config: peftOfPlan(plan, baseFolder),
    tensors: adapterTensors(trained),
    card: { baseModel: baseFolder, settings: facts },
  });
}

/** A checkpoint folder with every trained tensor in fp32 and the base's companions. */
async function writeModel(folder: string, { plan, values, baseFolder }: Trained): Promise<void> {
  await writeFolderAtomic(folder, async (temporary) => {
    for (const name of await readdir(baseFolder)) {
      if (companions.test(name)) await copyFile(join(baseFolder, name), join(temporary, name));
    }
    const tensors = plan.tensors.map(({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: values.get(name)!,
    }));
    await writeSafetensors(join(temporary, 'model.safetensors'), tensors, { format: 'pt' });
  });
}
