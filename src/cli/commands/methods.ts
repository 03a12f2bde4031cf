// methods: what a recipe can choose from, and every setting, from the catalogue.

import { catalogue } from '../../engine/catalogue';
import type { CatalogueEntry } from '../../engine/recipe/catalogue';
import { recipeFields } from '../../engine/recipe/fields';
import { describeShape } from '../../engine/recipe/shapes';
import type { CatalogueListing, SettingField, SettingValue } from '../../protocol/settings';
import { exitCodes } from '../failure';
import { type Terminal, table } from '../terminal';

const headings = {
  adapter: 'Adapters',
  init_lora_weights: 'Initialisations',
  load_in_4bit: 'Quantisations',
  optim: 'Optimizers',
  attention: 'Attention',
} as const;

function listing(entry: CatalogueEntry): CatalogueListing {
  return { id: entry.id, label: entry.label, summary: entry.summary, settings: entry.fields };
}

export function methods(terminal: Terminal): number {
  const fields = recipeFields(catalogue);
  terminal.document({
    presets: catalogue.presets,
    adapters: catalogue.adapter.map(listing),
    initialisations: catalogue.init_lora_weights.map(listing),
    quantizations: catalogue.load_in_4bit.map(listing),
    optimizers: catalogue.optim.map(listing),
    attentions: catalogue.attention.map(listing),
    settings: fields,
  });
  terminal.line(terminal.style('bold', 'Presets (preset)'));
  let category = '';
  for (const preset of catalogue.presets) {
    if (preset.category !== category) {
      category = preset.category;
      terminal.line(terminal.style('dim', ` ${category}`));
    }
    const values = Object.entries(preset.values).map(([key, value]) => `${key}: ${showDefault(value)}`);
    for (const line of table([[preset.id, `${preset.label}. ${preset.summary} (${values.join(', ')})`]]))
      terminal.line(line);
  }
  for (const [axis, heading] of Object.entries(headings) as [keyof typeof headings, string][]) {
    terminal.line(terminal.style('bold', `${heading} (${axis})`));
    for (const entry of catalogue[axis]) {
      terminal.line(`  ${entry.id}  ${entry.label}. ${entry.summary}`);
      for (const line of table(entry.fields.map(settingRow), '      ')) terminal.line(line);
    }
  }
  terminal.line(terminal.style('bold', 'Settings'));
  for (const line of table(fields.map(settingRow))) terminal.line(line);
  return exitCodes.ok;
}

function settingRow(field: SettingField): string[] {
  const values =
    field.type === 'enum' ? ` One of ${field.choices.map(({ id }) => String(id)).join(', ')}.` : '';
  const kind = ['integer', 'number'].includes(field.type)
    ? ` ${describeShape(field).replace(/^a/, 'A')}.`
    : '';
  const fallback = field.required ? 'required' : showDefault(field.default ?? null);
  return [field.key, fallback, `${field.description}${values}${kind}`];
}

function showDefault(value: SettingValue): string {
  if (value === null) return '–';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
