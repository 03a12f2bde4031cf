// A run's state → its word, as other places speak of the run.
import type { RunState } from '../../src/protocol/panels/run';
import { t } from './texts';

export function runStateText(state: RunState): string {
  return {
    waiting: t('waiting'),
    starting: t('starting'),
    running: t('running'),
    paused: t('paused'),
    stopping: t('stopping'),
    finished: t('finished'),
    stopped: t('stopped'),
    failed: t('failed'),
  }[state];
}
