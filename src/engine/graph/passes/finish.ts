// From a graph as it was built, in fp32, to the one that is encoded: types, plain operators, kernels of the device.
import type { Graph } from '../graph';
import { hasHalfKernel } from '../kernels';
import { type Precision, singlePrecision } from '../precision';
import { verify } from '../verify';
import { bridge } from './bridge';
import { lower } from './lower';
import { withPrecision } from './precision';

/**
 * The verified program.
 * @param stored inputs that lie in the compute type: the base weights.
 */
export function finish(
  graph: Graph,
  precision: Precision = singlePrecision,
  stored: Iterable<string> = [],
): Graph {
  const typed = lower(withPrecision(graph, precision, new Set(stored)), precision.device);
  const bridged = bridge(typed, precision, (node, type) => hasHalfKernel(precision.device, node, type));
  verify(bridged);
  return bridged;
}
