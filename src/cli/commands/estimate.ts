// estimate RECIPE: memory by part, whether it fits, and the smallest change that makes it fit.
import { catalogue } from '../../engine/catalogue';
import { estimateSource } from '../../engine/estimate/deviceContext';
import { loadRecipe } from '../../engine/recipe/load';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { type Terminal, table } from '../terminal';
import { formatBytes } from '../units';
import { type RecipeOptions, recipeAndOverrides } from './recipeArguments';

/** What of the workspace is CUDA's, and how that is known. */
function contextSentence({ bytes, measured }: { bytes: number; measured: boolean }): string {
  const how = measured
    ? 'as a run here measured it'
    : `an estimate (${estimateSource}) until a run here has measured it`;
  return `Of the workspace CUDA itself takes ${formatBytes(bytes)}, ${how}.`;
}

export async function estimate(
  recipePath: string | undefined,
  options: RecipeOptions,
  terminal: Terminal,
): Promise<number> {
  const { path, overrides } = recipeAndOverrides(recipePath, options, 'estimate');
  const { recipe, notes } = loadRecipe(path, catalogue, overrides);
  const result = await callTrainer('estimate', { recipe, notes }, terminal, { onInterrupt: 'kill' });
  terminal.document(result);
  const rows = Object.entries(result.parts).map(([part, bytes]) => [part, formatBytes(bytes)]);
  const { availableHostBytes: free } = result;
  for (const line of table([
    ...rows,
    ...(free === null
      ? [['total', formatBytes(result.totalBytes)]]
      : [
          ['system memory', formatBytes(result.hostBytes)],
          ['available', formatBytes(free)],
          [`on ${recipe.device}`, formatBytes(result.deviceBytes)],
        ]),
    ['available', formatBytes(result.availableBytes)],
  ])) {
    terminal.line(line);
  }
  if (result.context !== null) terminal.line(contextSentence(result.context));
  terminal.line(
    result.fits ? terminal.style('green', 'It fits.') : terminal.style('red', 'It does not fit.'),
  );
  for (const { change, totalBytes } of result.suggestions)
    terminal.line(`  ${change}: ${formatBytes(totalBytes)}`);
  return exitCodes.ok;
}
