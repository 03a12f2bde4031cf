// intrinsic-dimension RECIPE: how many free numbers a task needs, by training random subspaces.
import { catalogue } from '../../engine/catalogue';
import { RecipeError } from '../../engine/errors';
import { loadRecipe } from '../../engine/recipe/load';
import type { IntrinsicDimensionPoint } from '../../protocol/trainer';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { type Terminal, table } from '../terminal';
import { TrainProgress } from '../trainProgress';
import { type RecipeOptions, recipeAndOverrides } from './recipeArguments';

export interface IntrinsicDimensionOptions extends RecipeOptions {
  dimension?: number[];
  seed?: number[];
  learningRate?: number[];
  threshold: number;
  projection: string;
  scope: string;
}

export async function intrinsicDimension(
  recipePath: string | undefined,
  options: IntrinsicDimensionOptions,
  terminal: Terminal,
): Promise<number> {
  const { path, overrides } = recipeAndOverrides(recipePath, options, 'intrinsic-dimension');
  const { recipe, notes } = loadRecipe(path, catalogue, overrides);
  const progress = new TrainProgress(terminal);
  const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
  const result = await callTrainer(
    'intrinsicDimension',
    {
      recipe,
      notes,
      dimensions: options.dimension ? ascending(options.dimension) : null,
      seeds: options.seed ? ascending(options.seed) : [0, 1],
      learningRates: options.learningRate ? ascending(options.learningRate) : null,
      threshold: options.threshold,
      projection: oneOf('--projection', options.projection, ['fastfood', 'dense'] as const),
      scope: oneOf('--scope', options.scope, ['all', 'targets'] as const),
    },
    terminal,
    { onInterrupt: 'cancel', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  const row = (name: string, { meanLoss, deviation, learningRate, share }: IntrinsicDimensionPoint) => [
    name,
    `${meanLoss.toFixed(4)} ± ${deviation.toFixed(4)}`,
    `${(100 * share).toFixed(1)} %`,
    learningRate,
  ];
  for (const line of table([
    ['d', 'evaluation loss', 'of the gain', 'learning rate'],
    ['base', result.baseLoss.toFixed(4), '0.0 %', ''],
    ...result.points.map((point) => row(String(point.dimension), point)),
    [...row('full', result.full)],
  ]))
    terminal.line(line);
  const percent = (100 * result.threshold).toFixed(0);
  terminal.line(
    result.d90 === null
      ? `No d that was tried reaches ${percent} % of full fine-tuning's gain.`
      : `d${percent} ≤ ${result.d90} of ${result.parameters} parameters (by seed: ${result.seeds.map((seed, i) => `${seed}: ${result.d90BySeed[i] ?? 'none'}`).join(', ')}).`,
  );
  return exitCodes.ok;
}

function oneOf<T extends string>(option: string, value: string, known: readonly T[]): T {
  const found = known.find((item) => item === value);
  if (found !== undefined) return found;
  throw new RecipeError({
    code: 'usage',
    message: `${option} takes ${known.join(' or ')}, found "${value}".`,
    remedy: 'Choose one of them.',
  });
}
