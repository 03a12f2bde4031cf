// A run's events → the columns that its page draws. Events that a damaged log misshaped are left out. Pure.
import type { LogPart, OtherEvent, StepColumns } from '../../protocol/panels/run';
import type { RunEvent } from '../../protocol/run';

function emptyColumns(): StepColumns {
  return { step: [], loss: [], learningRate: [], gradNorm: [], tokensPerSecond: [], tokens: [] };
}

const finite = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

/** Cuts a list of events into steps and what stands between them. */
export function logPart(events: readonly RunEvent[]): LogPart {
  const pieces: { steps: StepColumns; event: OtherEvent | null }[] = [];
  let steps = emptyColumns();
  for (const event of events) {
    if (event.type !== 'step') {
      pieces.push({ steps, event });
      steps = emptyColumns();
    } else if (finite(event.step) !== null) {
      steps.step.push(event.step);
      steps.loss.push(finite(event.loss));
      steps.learningRate.push(finite(event.learningRate) ?? 0);
      steps.gradNorm.push(finite(event.gradNorm));
      steps.tokensPerSecond.push(finite(event.tokensPerSecond) ?? 0);
      steps.tokens.push(finite(event.tokens) ?? 0);
    }
  }
  if (steps.step.length > 0) pieces.push({ steps, event: null });
  return { pieces };
}
