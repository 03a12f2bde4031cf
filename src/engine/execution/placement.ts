// Keeps a CUDA run on the device: a graph with an operator that the runtime would leave to the CPU is refused, by node. Such
// an operator would cost a transfer at every step without a word.
import { SessionError } from '../errors';
import { cudaGaps, describeGap } from '../graph/cudaKernels';
import type { Graph } from '../graph/graph';
import type { DeviceKind } from '../session';

/** Set to 1, lets operators without a CUDA kernel run on the CPU. */
export const fallbackVariable = 'LORA_WORKBENCH_CPU_FALLBACK';

/** Names that a message lists. */
const listed = 10;

/**
 * Whether the session shall refuse what the runtime itself would leave to the CPU: on CUDA, unless fallbacks are allowed.
 * @throws SessionError `operator-unplaced` that names the nodes, where our table of kernels already tells.
 */
export function refuseFallback(
  device: DeviceKind,
  graph: Graph,
  environment: NodeJS.ProcessEnv = process.env,
): boolean {
  if (device !== 'cuda' || environment[fallbackVariable] === '1') return false;
  const gaps = cudaGaps(graph);
  if (gaps.length === 0) return true;
  const shown = gaps.slice(0, listed).map(describeGap).join('; ');
  throw new SessionError({
    code: 'operator-unplaced',
    message: `${gaps.length} of ${graph.nodes.length} operators of ${graph.name} have no CUDA kernel: ${shown}${gaps.length > listed ? '; …' : ''}.`,
    remedy: `Please report this. To train all the same, slower, set ${fallbackVariable}=1.`,
    facts: { operators: [...new Set(gaps.map(({ operator }) => operator))].join(', ') },
  });
}
