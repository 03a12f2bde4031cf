// Looks at a run's folder: its state, how far it came, its losses and checkpoints, from what lies on disk alone.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Problem } from '../../protocol/errors';
import type { RunEvent } from '../../protocol/run';
import type { InspectResult } from '../../protocol/trainer';
import { readEvents, withoutSuperseded } from '../run/eventLog';
import { listCheckpoints } from '../run/runFolder';
import { isLocked } from '../run/runLock';

export function inspectRun(path: string): InspectResult {
  const log = readEvents(join(path, 'events.jsonl'));
  const events = withoutSuperseded(log.events);
  const of = <T extends RunEvent['type']>(type: T) =>
    events.filter((event): event is Extract<RunEvent, { type: T }> => event.type === type);
  const steps = of('step');
  const evals = of('eval');
  const plan = of('run-started').at(-1)?.plan;
  const checkpoints = listCheckpoints(path);
  const state = stateOf(path, events);
  const last = steps.at(-1);
  const best = evals.reduce<(typeof evals)[number] | undefined>(
    (lowest, event) => (!lowest || event.loss < lowest.loss ? event : lowest),
    undefined,
  );
  const problems: Problem[] = of('warning').map(({ message, remedy }) => ({
    where: path,
    message,
    ...(remedy === undefined ? {} : { remedy }),
  }));
  const failed = of('failed').at(-1);
  if (failed && state === 'failed') {
    const { message, remedy } = failed.error;
    problems.push({ where: `step ${failed.step ?? 'unknown'}`, message, remedy });
  }
  if (log.damagedLines > 0)
    problems.push({
      where: join(path, 'events.jsonl'),
      message: `has ${log.damagedLines} lines that are no events`,
    });
  const adapter = join(path, 'adapter');
  return {
    kind: 'run',
    path,
    summary: `run, ${state}${last ? `, step ${last.step}${plan ? ` of ${plan.totalSteps}` : ''}, loss ${last.loss.toPrecision(4)}` : ', no step yet'}`,
    facts: {
      state,
      started: events[0]?.time ?? null,
      last_event: events.at(-1)?.time ?? null,
      model_type: plan?.modelType ?? null,
      adapter_method: plan?.adapter ?? null,
      device: plan?.device ?? null,
      steps: last?.step ?? 0,
      total_steps: plan?.totalSteps ?? null,
      first_loss: steps[0]?.loss ?? null,
      last_loss: last?.loss ?? null,
      last_eval_loss: evals.at(-1)?.loss ?? null,
      best_eval_loss: best?.loss ?? null,
      best_eval_step: best?.step ?? null,
      trainable_parameters: plan?.trainableParameters ?? null,
      tokens_per_second: last?.tokensPerSecond ?? null,
      checkpoints: checkpoints.map(({ step }) => step).join(', ') || null,
      adapter: existsSync(adapter) ? adapter : null,
    },
    problems,
  };
}

/** `running` holds the lock; `interrupted` was killed without a last word. */
function stateOf(path: string, events: readonly RunEvent[]): string {
  if (isLocked(join(path, 'run.lock'))) return 'running';
  const started = events.findLastIndex((event) => event.type === 'run-started');
  const end = events
    .slice(Math.max(0, started))
    .findLast((event) => event.type === 'finished' || event.type === 'stopped' || event.type === 'failed');
  return end?.type ?? (events.length > 0 ? 'interrupted' : 'not started');
}
