// The pickers of model and dataset, each with what was found there below. They are told what stands in the recipe and what
// tokenizing told, and ask for edits.
import type { ConfigureState, DatasetFacts, Pick, RecipeEdit } from '../../src/protocol/panels/configure';
import { action, type Child, el, fill, icon } from '../shared/dom';
import { bytesText, count, integer } from '../shared/format';
import { dropdown } from '../shared/forms';
import { showValue } from '../shared/settingText';
import { plural, t } from '../shared/texts';

const other = '\u0000other';

/** What tokenizing the dataset told; both null while nothing is known. */
export interface DatasetShown {
  facts: DatasetFacts | null;
  error: string | null;
}

export interface PickerRequests {
  edit(edits: readonly RecipeEdit[]): void;
  /** Asks with a dialog; settles whatever was chosen. */
  browse(what: 'model' | 'dataset'): Promise<void>;
  lens(): void;
}

interface Picker {
  list: ReturnType<typeof dropdown>;
  found: HTMLElement;
  element: HTMLElement;
}

function line(mark: 'check' | 'error', ...words: Child[]): HTMLElement {
  return el('div', { class: 'lw-line' }, icon(mark, mark === 'check' ? 'okc' : 'err'), el('span', {}, words));
}

export class Pickers {
  readonly element: HTMLElement;
  readonly #model: Picker;
  readonly #dataset: Picker;
  #again = (): void => undefined;

  constructor(private readonly requests: PickerRequests) {
    this.#model = this.#picker(t('Model'), 'model');
    this.#dataset = this.#picker(t('Dataset'), 'dataset');
    this.element = el('div', { class: 'cf-pick' }, this.#model.element, this.#dataset.element);
  }

  show(state: ConfigureState, data: DatasetShown): void {
    this.#again = () => this.show(state, data);
    const options = (picks: readonly Pick[], none: string) => [
      ...picks.map(({ path, label, detail }) => ({ value: path, text: label, title: detail })),
      { value: other, text: none },
    ];
    const setting = (key: string): unknown => state.form.fields.find(({ field }) => field.key === key)?.value;
    const model = setting('model');
    const chosen = typeof model === 'string' ? model : '';
    this.#model.list.show(options(state.models, t('Choose a folder…')), chosen);
    const dataset = setting('dataset');
    const text = typeof dataset === 'string' ? dataset : showValue(dataset as never);
    this.#dataset.list.show(options(state.datasets, t('Choose a file…')), text);
    fill(this.#model.found, modelFound(state, chosen !== ''));
    fill(this.#dataset.found, this.#datasetFound(data, text !== ''));
  }

  #picker(label: string, key: 'model' | 'dataset'): Picker {
    const list = dropdown(
      label,
      (value) => {
        if (value === other) void this.requests.browse(key).then(() => this.#again());
        else this.requests.edit([{ key, value }]);
      },
      { id: `f-${key}` },
    );
    const found = el('div', { class: 'found' });
    return {
      list,
      found,
      element: el('div', { class: 'f' }, el('label', { for: `f-${key}` }, label), list.element, found),
    };
  }

  #datasetFound({ facts, error }: DatasetShown, chosen: boolean): Child {
    if (error !== null) return line('error', error.split('\n')[0]);
    if (facts === null)
      return el(
        'div',
        {},
        chosen
          ? t('Counting rows and tokens once the recipe is whole.')
          : t('JSONL, JSON, CSV, Parquet or text.'),
      );
    const rows = plural(facts.rows, '1 row', '{0} rows');
    const shape = facts.columns === '' ? facts.shape.replaceAll('-', ` ${t('and')} `) : facts.columns;
    const lengths = t(
      'median {0} tokens, longest {1}',
      integer(facts.medianTokens),
      integer(facts.longestTokens),
    );
    const look = action(t('Look at the tokens'), () => this.requests.lens());
    return [el('div', {}, `${rows}, ${shape}`), line('check', `${lengths}\u2002`, look)];
  }
}

function modelFound({ model, modelProblem }: ConfigureState, chosen: boolean): Child {
  if (model === null)
    return modelProblem !== null
      ? line('error', modelProblem)
      : el(
          'div',
          {},
          chosen
            ? t('Not looked at while the recipe has mistakes.')
            : t('A Hugging Face folder: config.json, safetensors, tokenizer.json.'),
        );
  const parameters = t('{0} parameters', count(model.parameters));
  const layers = plural(model.layers, '1 layer', '{0} layers');
  return [
    el('div', {}, [model.modelType, parameters, model.dtypes, bytesText(model.bytes)].join(', ')),
    line('check', `${layers}; ${model.chatTemplate ? t('chat template found') : t('no chat template')}`),
  ];
}
