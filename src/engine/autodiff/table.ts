// The gradient table, put together from its families. A new gradient is one row in one of them.
import type { OpName } from '../graph/ops';
import { attentionGradients } from './attention';
import { elementwiseGradients } from './elementwise';
import { layoutGradients } from './layout';
import { matmulGradients } from './matmul';
import { neuralGradients } from './neural';
import { packedGradients } from './packed';
import { reduceGradients } from './reduce';
import type { GradientRow } from './rule';

const rows = {
  ...elementwiseGradients,
  ...matmulGradients,
  ...layoutGradients,
  ...reduceGradients,
  ...neuralGradients,
  ...attentionGradients,
  ...packedGradients,
} as unknown as Partial<Record<OpName, GradientRow>>;

/** The rule of an operator; an operator without one is an error that names it. */
export function gradientRow(op: OpName, scope: string): GradientRow {
  const row = rows[op];
  if (!row) {
    throw new Error(
      `The operator ${op}${scope ? ` in ${scope}` : ''} has no gradient rule. Add a row to src/engine/autodiff.`,
    );
  }
  return row;
}

export function gradientRows(): [OpName, GradientRow][] {
  return Object.entries(rows) as [OpName, GradientRow][];
}
