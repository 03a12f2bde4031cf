// The way to a start: the button, why it cannot be pressed, the run that goes on or was the last one. It draws what it is
// told and asks for nothing by itself.
import type { ConfigureState } from '../../src/protocol/panels/configure';
import { action, button, type Child, el } from '../shared/dom';
import { fixed } from '../shared/format';
import { runStateText } from '../shared/runState';
import { t } from '../shared/texts';

const shortcut = 'Ctrl+Enter';

/** Why nothing can be started now; '' where it can. */
export function startReason(
  { trusted }: ConfigureState,
  { errors, over }: { errors: boolean; over: boolean },
): string {
  if (!trusted) return t('This folder is in Restricted Mode: nothing is started until you trust it.');
  if (errors) return t('Mend the problems first.');
  return over ? t('Does not fit yet.') : '';
}

export function startButton(run: () => void, reason: string): HTMLElement {
  const made = button(t('Start fine-tune'), run, {
    icon: 'play',
    appearance: 'primary',
    disabled: reason !== '',
    title: reason || shortcut,
  });
  made.classList.add('go');
  return made;
}

/** What stands beside the button; `anyway` is undefined where there is no way past the reason. */
export function startNote(
  { running, lastRun }: ConfigureState,
  reason: string,
  does: { anyway: (() => void) | undefined; openRun(id: string): void },
): HTMLElement {
  const note = (...children: Child[]): HTMLElement => el('span', { class: 'small muted' }, children);
  if (reason !== '')
    return note(`${reason} `, does.anyway === undefined ? null : action(t('Start anyway'), does.anyway));
  if (running !== null) return note(t('{0} runs now; this one waits for it.', running));
  if (lastRun === null) return note(el('kbd', {}, shortcut));
  const { id, name, state, evalLoss } = lastRun;
  const how = evalLoss === null ? `${name}, ${runStateText(state)}` : t('eval {0}', fixed(evalLoss, 3));
  return note(
    t('Last run:'),
    ' ',
    action(how, () => does.openRun(id)),
  );
}
