// What `attention` in a recipe offers: which tokens a token attends to while it trains. A new one is a row here. Evaluation and
// generation always use the model's own attention.
import { RecipeError } from '../errors';
import type { CatalogueEntry } from '../recipe/catalogue';
import type { Model } from './architecture';
import { type AttentionBuilder, TrainingAttention } from './attention';
import { ShiftedAttention } from './shiftedAttention';

/** The part of a recipe that decides about attention. */
export interface AttentionSettings {
  attention: string;
  max_length: number;
  settings: Readonly<Record<string, unknown>>;
}

interface AttentionChoice {
  entry: CatalogueEntry;
  /** @throws RecipeError where the model's attention cannot be trained like this. */
  builder(recipe: AttentionSettings, model: Model): AttentionBuilder;
}

export const fullAttention: AttentionBuilder = (b, shape) => new TrainingAttention(b, shape);

const choices: readonly AttentionChoice[] = [
  {
    entry: {
      id: 'full',
      label: 'Every earlier token',
      summary: "The model's own attention.",
      fields: [],
    },
    builder: () => fullAttention,
  },
  {
    entry: {
      id: 'shift_short',
      label: 'LongLoRA: blocks of tokens, shifted by half a block in half of the heads',
      summary:
        'Time and memory of attention fall with the number of blocks, for long contexts. Evaluation and generation attend to everything.',
      fields: [
        {
          key: 'group_size',
          type: 'integer',
          minimum: 2,
          default: null,
          unit: 'tokens',
          group: 'memory',
          description: 'Tokens of a block, an even number. By default group_size_ratio of max_length.',
        },
        {
          key: 'group_size_ratio',
          type: 'number',
          exclusiveMinimum: 0,
          maximum: 1,
          default: 0.25,
          group: 'memory',
          advanced: true,
          description: 'Length of a block as a part of max_length.',
        },
      ],
      check: ({ settings: { group_size: size }, max_length: length }) =>
        typeof size !== 'number'
          ? []
          : [
              ...(size % 2 === 0
                ? []
                : [
                    {
                      where: 'group_size',
                      message: `group_size: ${size} has no half, by which half of the heads are shifted.`,
                      remedy: `Set group_size: ${size + 1}.`,
                    },
                  ]),
              ...(size <= length
                ? []
                : [
                    {
                      where: 'group_size',
                      message: `group_size: ${size} is more than max_length: ${length}, so that blocks would save nothing.`,
                      remedy: 'Set group_size to max_length / 4, or attention: full.',
                    },
                  ]),
            ],
    },
    builder(recipe, model) {
      if (model.heads < 2) {
        throw new RecipeError({
          code: 'attention-not-supported',
          message: `attention: shift_short shifts half of the heads, and this model has ${model.heads}.`,
          remedy: 'Set attention: full.',
        });
      }
      const size = groupSize(recipe, model);
      return (b, shape) => new ShiftedAttention(b, shape, size);
    },
  },
];

/** g: an even number of tokens, at least 2. */
export function groupSize({ settings, max_length }: AttentionSettings, model: Model): number {
  const context = Math.min(max_length, model.maxPositions);
  const wanted = settings.group_size ?? Math.round(context * Number(settings.group_size_ratio ?? 0.25));
  return Math.max(2, 2 * Math.floor(Math.min(Number(wanted), context + 1) / 2));
}

export const attentionEntries: readonly CatalogueEntry[] = choices.map(({ entry }) => entry);

/** The attention of a recipe's training graphs. @throws RecipeError where the model cannot be trained like this. */
export function attentionOf(recipe: AttentionSettings, model: Model): AttentionBuilder {
  const choice = choices.find(({ entry }) => entry.id === recipe.attention);
  if (!choice)
    throw new Error(
      `There is no attention ${recipe.attention}; recipes are validated against the catalogue.`,
    );
  return choice.builder(recipe, model);
}
