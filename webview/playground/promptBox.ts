// The prompt with its buttons and options, and the failure of the last request below them. What was kept comes in; what was
// pressed comes out.
import { action, button, type Child, el, fill, icon } from '../shared/dom';
import { t } from '../shared/texts';

export interface PromptOptions {
  prompt: string;
  chat: boolean;
  shaded: boolean;
  talk: boolean;
}

export interface PromptRequests {
  generate(): void;
  stop(): void;
  /** A new conversation. */
  forget(): void;
  /** Something was typed or chosen. */
  changed(): void;
}

type Box = HTMLElement & { checked: boolean };
type Button = HTMLElement & { disabled: boolean };

export class PromptBox {
  readonly element: HTMLElement;
  readonly #prompt = el<HTMLTextAreaElement>('textarea', {
    'aria-label': t('Prompt'),
    rows: '3',
    placeholder: t('A prompt, to be continued by both'),
  });
  readonly #chat: Box;
  readonly #talk: Box;
  readonly #shaded: Box;
  readonly #afresh: HTMLElement;
  readonly #run: Button;
  readonly #stop: Button;
  readonly #failure = el('div', { role: 'alert', hidden: true, class: 'lw-line' });

  constructor(kept: PromptOptions | undefined, requests: PromptRequests) {
    const box = (label: string, checked: boolean, title?: string): Box =>
      el<Box>('vscode-checkbox', { checked, title, on: { change: () => requests.changed() } }, label);
    this.#prompt.value = kept?.prompt ?? '';
    this.#prompt.addEventListener('input', () => requests.changed());
    this.#chat = box(t('Chat template'), kept?.chat ?? false);
    this.#talk = box(
      t('Go on'),
      kept?.talk ?? false,
      t('The next prompt goes on from both answers; each side remembers its own'),
    );
    this.#shaded = box(t('Probabilities'), kept?.shaded ?? true);
    this.#afresh = action(t('New conversation'), () => requests.forget(), { hidden: true });
    this.#run = button(t('Generate'), () => requests.generate(), {
      icon: 'play',
      appearance: 'primary',
    }) as Button;
    this.#stop = button(t('Stop'), () => requests.stop(), { icon: 'debug-stop' }) as Button;
    this.element = el(
      'div',
      { class: 'pg-prompt' },
      this.#prompt,
      el(
        'div',
        { class: 'row' },
        this.#run,
        this.#stop,
        el('span', { class: 'small muted' }, el('kbd', {}, 'Ctrl'), ' ', el('kbd', {}, 'Enter')),
        el('span', { class: 'push' }),
        this.#afresh,
        this.#talk,
        this.#chat,
        this.#shaded,
      ),
      this.#failure,
    );
  }

  get options(): PromptOptions {
    return {
      prompt: this.#prompt.value,
      chat: this.#chat.checked,
      shaded: this.#shaded.checked,
      talk: this.#talk.checked,
    };
  }

  enable(run: boolean, stop: boolean): void {
    this.#run.disabled = !run;
    this.#stop.disabled = !stop;
  }

  /** Whether there is a conversation that could be ended. */
  set hasPast(past: boolean) {
    this.#afresh.hidden = !past;
  }

  /** Says that the model has no template of its own. */
  sayDefaultTemplate(): void {
    fill(this.#chat, t('Chat template (the default)'));
  }

  /** Null takes the last failure away. */
  fail(report: { message: string; remedy: string } | null): void {
    this.#failure.hidden = report === null;
    if (report === null) return;
    const words: Child = [report.message, ' ', el('span', { class: 'muted' }, report.remedy)];
    fill(this.#failure, icon('error', 'err', t('Problem')), el('span', {}, words));
  }

  focus(): void {
    this.#prompt.focus();
  }
}
