// The choice of model and device, and what is known of the loaded model. It draws what it is told and tells what was chosen.
import type { PlaygroundSession, PlaygroundState } from '../../src/protocol/panels/playground';
import { action, type Child, el, fill } from '../shared/dom';
import { bytesText, integer } from '../shared/format';
import { t } from '../shared/texts';

type Field = HTMLElement & { value: string };

function list(
  properties: { id?: string; label: string },
  options: readonly { value: string; text: string }[],
  chosen: string | null,
  choose: (value: string) => void,
): HTMLElement {
  const element = el<Field>(
    'vscode-dropdown',
    { id: properties.id, 'aria-label': properties.label, on: { change: () => choose(element.value) } },
    options.map(({ value, text }) => el('vscode-option', { value, selected: value === chosen }, text)),
  );
  return element;
}

export class ModelChoice {
  readonly element: HTMLElement;
  readonly #model = el('div', {});
  readonly #device = el('div', { class: 'lw-prop' });
  #drawn = '';

  constructor(private readonly requests: { model(folder: string): void; device(device: string): void }) {
    this.element = el('section', {}, el('h2', {}, t('Model')), this.#model, this.#device);
  }

  show({ models, model, device, devices }: PlaygroundState): void {
    const key = JSON.stringify([models, model, device]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    if (models.length === 0) {
      fill(this.#model, el('p', { class: 'small warn' }, t('No model was found in this workspace.')));
      return;
    }
    const options = models.map(({ folder, name }) => ({ value: folder, text: name }));
    fill(this.#model, list({ label: t('Model') }, options, model, this.requests.model));
    const where = devices.map((one) => ({ value: one, text: one }));
    fill(
      this.#device,
      el('label', { for: 'device' }, 'device'),
      list({ id: 'device', label: t('Device') }, where, device, this.requests.device),
    );
  }
}

/** What is known of the loaded model; `swapped` are the milliseconds of an adapter's coming in. */
export function memoryText(
  session: PlaygroundSession | undefined,
  swapped: number | undefined,
  loadAgain: () => void,
): Child {
  switch (session?.state) {
    case 'loading':
      return [el('vscode-progress-ring', { 'aria-label': t('Loading') }), t('The model is being read.')];
    case 'open': {
      const loaded = t('The base is loaded once: {0}.', bytesText(session.weightBytes));
      return swapped === undefined ? loaded : `${t('Swapped in {0} ms.', integer(swapped))} ${loaded}`;
    }
    case 'failed':
      return [t('The model is not loaded.'), ' ', action(t('Load again'), loadAgain)];
    default:
      return t('The model is read with the first prompt and stays while this page is open.');
  }
}
