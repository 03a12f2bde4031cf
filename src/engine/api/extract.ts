// The call `extract`: what full fine-tuning changed in the linear layers, as a LoRA: SVD_k(W_T − W_0) per matrix. Lossy, and it
// says by how much. One matrix is in memory at a time.
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { EngineHost, ExtractParams, ExtractResult } from '../../protocol/trainer';
import { adapterFiles } from '../adapters/adapterFiles';
import { asLora } from '../adapters/combine';
import { writeAdapterFolder } from '../adapters/peftWriting';
import { siteOf } from '../adapters/plan';
import type { Site } from '../adapters/variant';
import { openCheckpoint } from '../checkpoint/folder';
import { readTensor, type TensorRef } from '../checkpoint/safetensors';
import { resolveNames, verifyTensors } from '../checkpoint/verify';
import { AdapterError, invariant, RunError } from '../errors';
import { openDevice } from '../execution/device';
import { diskError } from '../files/diskErrors';
import { productsOn } from '../linalg/deviceProducts';
import { frobenius, type Matrix, matrix, scaleColumns, transposed } from '../linalg/matrix';
import { exactSvd } from '../linalg/svd';
import { type LinearModule, type Model, modelTensors } from '../models/architecture';
import { modelFromConfig } from '../models/registry';

/** Extracts a LoRA. Raises CheckpointError or AdapterError; nothing half-written is left. */
export async function extract(params: ExtractParams, host: EngineHost): Promise<ExtractResult> {
  const out = resolve(params.out);
  const checkpoint = await openCheckpoint(params.model);
  const model = modelFromConfig(checkpoint.config);
  const [before, after] = [await tensorsOf(params.model, model), await tensorsOf(params.tuned, model)];
  const progress = (message: string, fraction: number): void =>
    host.emit({
      type: 'progress',
      phase: 'merging',
      message,
      fraction,
      time: new Date().toISOString(),
    });
  const linear = model.modules.filter(
    (module): module is LinearModule =>
      (module.kind === 'linear' || module.kind === 'conv1d') && module.path !== model.head.path,
  );
  const runtime = openDevice(params);
  const products = productsOn(runtime);
  const sites = new Map<string, Site>();
  const results = new Map<string, { a: Matrix; b: Matrix }>();
  const modules: ExtractResult['modules'][number][] = [];
  const held = new Set<string>();
  let [whole, lost] = [0, 0];
  try {
    for (const [i, { path, weight: name }] of linear.entries()) {
      if (host.cancelRequested) throw cancelled();
      progress(`Taking ${path} apart`, i / linear.length);
      const site = siteOf(model, path, params.rank, params.rank);
      held.add(name);
      const delta = await difference(before.get(name)!, after.get(name)!, site);
      const size = frobenius(delta);
      if (size === 0) continue;
      const rank = Math.min(params.rank, delta.rows, delta.columns);
      const svd = await exactSvd(products, delta, rank, 'top', 0);
      sites.set(path, site);
      results.set(path, { a: svd.vt, b: scaleColumns(svd.u, svd.sigma) });
      modules.push({ path, rank, relativeError: svd.report.relativeError });
      whole += size ** 2;
      lost += (svd.report.relativeError * size) ** 2;
    }
    const others: string[] = [];
    for (const { name } of modelTensors(model)) {
      if (held.has(name)) continue;
      const [old, now] = [await readTensor(before.get(name)!), await readTensor(after.get(name)!)];
      if (old.some((value, i) => value !== now[i])) others.push(name);
    }
    if (results.size === 0) {
      throw new AdapterError({
        code: 'nothing-to-extract',
        message: `No linear layer of ${params.tuned} differs from ${params.model}.`,
        remedy:
          'Name the fine-tuned checkpoint (tuned) and the base that it came from (model), not the same one twice.',
      });
    }
    const { plan, values } = asLora(model, sites, results);
    try {
      await mkdir(dirname(out), { recursive: true });
    } catch (cause) {
      throw diskError(cause, dirname(out), 'make the folder');
    }
    const relativeError = Math.sqrt(lost / whole);
    await writeAdapterFolder(out, {
      ...adapterFiles(plan, values, checkpoint.folder),
      card: {
        baseModel: checkpoint.folder,
        settings: [
          ['Extracted from', params.tuned],
          ['Relative error of the update', Number(relativeError.toPrecision(3))],
        ],
      },
    });
    return { out, relativeError, modules, unheld: others };
  } finally {
    products.release();
    await runtime.close();
  }
}

/** A checkpoint's tensors by the model's names; refused unless they are the model's. */
async function tensorsOf(folder: string, model: Model): Promise<ReadonlyMap<string, TensorRef>> {
  const checkpoint = await openCheckpoint(folder);
  const expected = modelTensors(model);
  const tensors = resolveNames(checkpoint.tensors, expected, model.basePrefix);
  verifyTensors({ ...checkpoint, tensors }, expected, {
    ignorable: (name) => model.ignorable.test(name) || (model.tied && name === 'lm_head.weight'),
  });
  return tensors;
}

/** W_T − W_0 as [out, in]. */
async function difference(old: TensorRef, now: TensorRef, site: Site): Promise<Matrix> {
  const [values, base] = [await readTensor(now), await readTensor(old)];
  const delta = values.map((value, i) => value - base[i]!);
  const bad = delta.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new AdapterError({
      code: 'extract-not-finite',
      message: `${now.name} differs from the base by ${delta[bad]} at element ${bad}.`,
      remedy: 'Look at both checkpoints with inspect; one of them is damaged.',
    });
  }
  const { inFeatures, outFeatures, module } = site;
  invariant(delta.length === inFeatures * outFeatures, `${now.name} is the weight of ${site.path}`);
  return module.kind === 'conv1d'
    ? transposed(matrix(inFeatures, outFeatures, delta))
    : matrix(outFeatures, inFeatures, delta);
}

function cancelled(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'The extraction was cancelled; nothing was written.',
    remedy: 'Start it again.',
  });
}
