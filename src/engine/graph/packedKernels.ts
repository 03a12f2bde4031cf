// Where com.microsoft MatMulBnb4 multiplies by the transpose of a weight in four bits, x·Wᵀ. The other product, δ·W, is never
// asked of it: the CPU's kernel takes the transpose whatever transB says, and WebGPU's refuses.
import type { Precision } from './precision';

export interface PackedKernel {
  /** Block sizes that it knows. */
  blockSizes: readonly number[];
  /** CUDA's kernel for one row expects shapes that it does not check, unless it is told that this is training. */
  trainingMode: 0 | 1;
}

const blockSizes = [32, 64, 128, 256];

/** Undefined where weights are always looked up before the product. */
export const packedKernels: Readonly<Record<Precision['device'], PackedKernel | undefined>> = {
  cpu: { blockSizes, trainingMode: 0 },
  cuda: { blockSizes, trainingMode: 1 },
  webgpu: undefined,
};
