// train RECIPE: validates the recipe here, trains in a trainer process, shows the run.
import { catalogue } from '../../engine/catalogue';
import { loadRecipe } from '../../engine/recipe/load';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';
import { formatBytes, formatCount, formatLoss } from '../units';
import { type RecipeOptions, recipeAndOverrides } from './recipeArguments';

export interface TrainOptions extends RecipeOptions {
  resume?: boolean;
}

/** Returns the exit code. */
export async function train(
  recipePath: string | undefined,
  options: TrainOptions,
  terminal: Terminal,
): Promise<number> {
  const { path, overrides } = recipeAndOverrides(recipePath, options, 'train');
  if (options.resume) overrides.push('resume_from_checkpoint=true');
  const { recipe, notes } = loadRecipe(path, catalogue, overrides);
  const progress = new TrainProgress(terminal);
  const result = await callTrainer('train', { recipe, notes }, terminal, {
    onInterrupt: 'stop',
    onEvent: (event) => progress.show(event),
  });
  terminal.document(result);
  if (!progress.stopped) {
    const evaluation = result.evalLoss === null ? '' : `, eval loss ${formatLoss(result.evalLoss)}`;
    terminal.line(
      `${terminal.style('green', 'Done:')} ${result.steps} steps, loss ${formatLoss(result.loss)}${evaluation}`,
    );
    terminal.line(
      `  ${formatCount(result.tokensPerSecond)} tok/s, peak memory ${formatBytes(result.peakMemoryBytes)}`,
    );
    terminal.line(`  adapter ${printable(result.adapter)}`);
  }
  return progress.stopped ? exitCodes.interrupted : exitCodes.ok;
}
