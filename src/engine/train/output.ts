// Writes what a run trained: a PEFT adapter folder, or for full fine-tuning a whole Hugging Face checkpoint. Comes in: a plan
// and values by tensor name. Nothing is ever half there.
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adapterFiles } from '../adapters/adapterFiles';
import { baseConfigName } from '../adapters/adapterNames';
import { writeAdapterFolder } from '../adapters/peftWriting';
import type { AdapterPlan } from '../adapters/plan';
import { writeSafetensors } from '../checkpoint/safetensors';
import { writeFolderAtomic } from '../files/atomic';
import type { JsonObject } from '../files/json';

/** Files of a checkpoint folder that belong to a copy of it with other weights. */
const companions =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^(merges\.txt|tokenizer\.model|chat_template\.(jinja|json))$/;

export interface Trained {
  plan: AdapterPlan;
  /** Values in the files' layout, by tensor name. */
  values: ReadonlyMap<string, Float32Array>;
  /** The base checkpoint's folder. */
  baseFolder: string;
  /** What the method's host part keeps. */
  host?: JsonObject;
}

/** Whether a plan's result is an adapter; else it is a whole model. */
export function isAdapter(plan: AdapterPlan): boolean {
  return plan.sites.size > 0;
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
    ...adapterFiles(plan, trained.values, baseFolder, trained.host),
    ...(plan.sideFiles ? { sideFiles: plan.sideFiles } : {}),
    card: { baseModel: baseFolder, settings: facts },
  });
}

/** A checkpoint folder with every trained tensor in fp32 and the base's companions. */
async function writeModel(folder: string, { plan, values, baseFolder }: Trained): Promise<void> {
  await writeFolderAtomic(folder, async (temporary) => {
    for (const name of await readdir(baseFolder)) {
      if (companions.test(name)) await copyFile(join(baseFolder, name), join(temporary, name));
    }
    const config = plan.sideFiles?.[baseConfigName];
    if (config !== undefined) await writeFile(join(temporary, 'config.json'), config);
    const tensors = plan.tensors.map(({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: values.get(name)!,
    }));
    await writeSafetensors(join(temporary, 'model.safetensors'), tensors, { format: 'pt' });
  });
}
