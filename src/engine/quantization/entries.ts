// What a recipe says of a base in four bits, by the names of BitsAndBytesConfig: the catalogue's entries and what they mean.
import type { Problem } from '../../protocol/errors';
import type { Recipe } from '../../protocol/recipe';
import type { CatalogueEntry } from '../recipe/catalogue';
import type { QuantType } from './codes';
import { blockSizes } from './fourBit';
import type { QuantFormat } from './packedWeight';

const group = 'memory';

export const quantizations: readonly CatalogueEntry[] = [
  {
    id: false,
    label: 'As in the checkpoint',
    summary: 'The base weights are used as they are.',
    fields: [],
  },
  {
    id: true,
    label: 'In 4 bits (QLoRA)',
    summary:
      'The frozen linear weights are quantised in memory while they are read: an eighth of fp32, for a little more time per step and some precision.',
    fields: [
      {
        key: 'bnb_4bit_quant_type',
        type: 'enum',
        choices: [
          { id: 'nf4', label: 'Quantiles of the normal distribution, as weights are spread' },
          { id: 'fp4', label: '4-bit floating point' },
        ],
        default: 'nf4',
        group,
        description: 'The 16 values that weights are rounded to.',
      },
      {
        key: 'bnb_4bit_use_double_quant',
        type: 'boolean',
        default: false,
        group,
        description: "Quantises the blocks' sizes too, which saves about 0.4 bit per weight.",
      },
      {
        key: 'bnb_4bit_blocksize',
        type: 'integer',
        minimum: blockSizes[0],
        maximum: blockSizes.at(-1),
        default: 64,
        unit: 'weights',
        group,
        advanced: true,
        description: `Weights that share one size: ${blockSizes.join(', ')}. Smaller is more exact.`,
      },
    ],
    check: problems,
  },
];

function problems({ adapter, settings }: Recipe): Problem[] {
  const found: Problem[] = [];
  const size = Number(settings.bnb_4bit_blocksize);
  if (!blockSizes.includes(size))
    found.push({
      where: 'bnb_4bit_blocksize',
      message: `bnb_4bit_blocksize: ${size} is no block size; known are ${blockSizes.join(', ')}.`,
      remedy: 'Set bnb_4bit_blocksize: 64.',
    });
  if (adapter === 'none')
    found.push({
      where: 'load_in_4bit',
      message: 'load_in_4bit freezes the weights, and adapter: none trains them all.',
      remedy: 'Choose an adapter such as lora, or remove load_in_4bit.',
    });
  if (settings.convert_to_lora === false)
    found.push({
      where: 'convert_to_lora',
      message:
        'convert_to_lora: false leaves the start to PEFT, which cannot repeat it from a base in 4 bits.',
      remedy: 'Remove convert_to_lora, or load_in_4bit.',
    });
  return found;
}

/** How a recipe holds its base; undefined where it leaves it as it is. */
export function quantFormatOf(recipe: Pick<Recipe, 'load_in_4bit' | 'settings'>): QuantFormat | undefined {
  if (!recipe.load_in_4bit) return undefined;
  const { settings } = recipe;
  return {
    quantType: (settings.bnb_4bit_quant_type ?? 'nf4') as QuantType,
    blockSize: Number(settings.bnb_4bit_blocksize ?? 64),
    doubleQuant: settings.bnb_4bit_use_double_quant === true,
  };
}
