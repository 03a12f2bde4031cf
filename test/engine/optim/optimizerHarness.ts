// An optimizer by itself: tensors with given values, gradients that the test writes, updates by the real programs.
import { none } from '../../../src/engine/adapters/none';
import type { AdapterPlan } from '../../../src/engine/adapters/plan';
import type { PlannedTensor } from '../../../src/engine/adapters/variant';
import type { Paging } from '../../../src/engine/execution/paging';
import type { OptimizerSettings } from '../../../src/engine/optim/optimizer';
import type { Runtime } from '../../../src/engine/session';
import { TrainingState } from '../../../src/engine/train/state';
import { Updater } from '../../../src/engine/train/updater';

export const plainSettings: OptimizerSettings = {
  optim: 'adamw',
  weight_decay: 0,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  max_grad_norm: 0,
  settings: {},
};

/** The weight of a linear layer, or a vector; `frozen` ones never train. */
export function tensorOf(
  name: string,
  shape: readonly number[],
  values: Float32Array,
  more: Partial<PlannedTensor> = {},
): PlannedTensor {
  return {
    name: `${name}.weight`,
    shape,
    group: { learningRateScale: 1, decay: true },
    initial: () => values,
    ...(shape.length === 2 ? { module: { path: name, kind: 'linear', head: false } } : {}),
    ...more,
  };
}

export interface Harness {
  state: TrainingState;
  /** Writes the gradients and updates; returns the norm. */
  step(step: number, learningRate: number, gradients: ReadonlyMap<string, Float32Array>): Promise<number>;
  notes: string[];
  release(): void;
}

export async function harness(
  runtime: Runtime,
  tensors: readonly PlannedTensor[],
  settings: OptimizerSettings,
  options: { paging?: Paging; windowLength?: number; pieceLength?: number; seed?: number } = {},
): Promise<Harness> {
  const { paging, windowLength, pieceLength, seed = 1 } = options;
  const base = () => Promise.reject(new Error('there is no base'));
  const state = await TrainingState.initial(runtime, tensors, settings, seed, base, paging);
  const plan = { variant: none, sites: new Map() } as unknown as AdapterPlan;
  const updater = new Updater({
    runtime,
    state,
    plan,
    settings,
    seed,
    constants: new Map(),
    ...(windowLength === undefined ? {} : { windowLength }),
    ...(pieceLength === undefined ? {} : { pieceLength }),
  });
  const notes: string[] = [];
  return {
    state,
    notes,
    async step(step, learningRate, gradients) {
      for (const slab of state.slabs) {
        if (slab.frozen) continue;
        const data = new Float32Array(slab.length);
        for (const { tensor, offset } of slab.entries) data.set(gradients.get(tensor.name)!, offset);
        runtime.write(state.tensor(slab, 'gradient'), data);
      }
      const result = await updater.start(step, learningRate);
      notes.push(...result.notes);
      return result.norm();
    },
    release() {
      updater.release();
      state.release();
    },
  };
}
