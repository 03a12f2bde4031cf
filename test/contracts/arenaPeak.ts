// The arena's peak of one run of a gradient program with empty weights, measured in a runtime of its own, since a peak is
// never forgotten.

import { planAdapter } from '../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../src/engine/adapters/settings';
import { dropoutPoolFor, gradientGraph } from '../../src/engine/compile/gradientGraph';
import { planSlabs } from '../../src/engine/compile/slabs';
import { Program } from '../../src/engine/execution/program';
import type { Graph } from '../../src/engine/graph/graph';
import { modelFromConfig } from '../../src/engine/models/registry';
import type { Runtime } from '../../src/engine/session';
import type { GradientCheckpointing } from '../../src/protocol/recipe';
import { contractRuntime } from './contractRuntime';
import { adapterSettings } from './randomAdapter';

export interface PeakOptions {
  config: Record<string, unknown>;
  rows: number;
  length: number;
  checkpointing: GradientCheckpointing;
  adapter?: Partial<AdapterSettings>;
}

/** The most that values of runs took at once; on devices that keep tensors in the arena too, without those. */
export function activationPeak(runtime: Runtime): number {
  const { peakBytes, tensorBytes } = runtime.memory();
  return runtime.device.kind === 'cpu' ? peakBytes : peakBytes - tensorBytes;
}

/** The compiled graph with the bytes that its values took at most while it ran. */
export async function arenaPeak(o: PeakOptions): Promise<{ graph: Graph; peakBytes: number }> {
  const { rows, length, checkpointing } = o;
  const model = modelFromConfig(o.config);
  const plan = planAdapter(model, adapterSettings(model, { target_modules: 'all-linear', ...o.adapter }));
  const { graph, dropoutMasks } = gradientGraph({
    model,
    plan,
    slabs: planSlabs(plan.tensors),
    rows,
    length,
    packing: false,
    accumulate: true,
    checkpointing,
    dropoutPool: dropoutPoolFor(plan, rows * length),
  });
  const runtime = contractRuntime();
  try {
    const program = await Program.open(runtime, graph, new Map());
    dropoutMasks.forEach((length, i) => {
      program.feed(`dropout_end.${i}`, BigInt64Array.of(BigInt(length)));
    });
    await program.run();
    return { graph, peakBytes: activationPeak(runtime) };
  } finally {
    await runtime.close();
  }
}
