// The commands and their options: the one place that says what the terminal takes. What they do stands in commands/.
import { Command, CommanderError } from 'commander';
import { version } from '../../package.json';
import { RecipeError } from '../engine/errors';
import { type ComposeOptions, compose } from './commands/compose';
import { type ConvertOptions, convert } from './commands/convert';
import { diff } from './commands/diff';
import { type DoctorOptions, doctor } from './commands/doctor';
import { estimate } from './commands/estimate';
import { type EvaluateOptions, evaluate } from './commands/evaluate';
import { type ExtractOptions, extract } from './commands/extract';
import { type GenerateOptions, generate } from './commands/generate';
import { inspect } from './commands/inspect';
import { type IntrinsicDimensionOptions, intrinsicDimension } from './commands/intrinsicDimension';
import { type MergeOptions, merge } from './commands/merge';
import { methods } from './commands/methods';
import type { RecipeOptions } from './commands/recipeArguments';
import { type ResizeOptions, resize } from './commands/resize';
import { type TrainOptions, train } from './commands/train';
import { exitCodes } from './failure';
import { doubleQuant, fourBit, quantType } from './fourBitOptions';
import { collect, collectAdapters, collectNumbers, deviceOption, numberOption } from './options';
import type { Terminal } from './terminal';

const programName = 'lora-workbench';

/**
 * Runs the command line (without node and script) and returns the exit code.
 * @throws UserError for mistakes, usage included; the caller reports them.
 */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<number> {
  let code: number = exitCodes.ok;
  const done = (result: number): void => {
    code = result;
  };
  const program = new Command(programName)
    .description('Fine-tunes transformer language models with LoRA and its relatives. No Python.')
    .version(version)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .helpCommand('help [command]', 'shows the help of a command')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 2 a mistake in what was given, 1 a fault of the program, 130 stopped by Ctrl+C.',
    );
  const command = (signature: string, description: string): Command =>
    program
      .command(signature)
      .description(description)
      .option('--json', 'print one JSON document and nothing else');

  const device = ['--device <device>', 'auto, cpu, cuda, cuda:<number> or webgpu', deviceOption] as const;
  const threads = [
    '--threads <n>',
    'CPU threads; 0 lets the runtime choose',
    numberOption('--threads', { minimum: 0, maximum: 1024, integer: true }),
  ] as const;
  const set = ['--set <key=value...>', 'a setting in place of the recipe’s; may be repeated'] as const;

  const adapters = [
    '--adapter <folder[=weight]>',
    'an adapter, with a factor on its update; may be repeated: they are added together',
    collectAdapters,
  ] as const;

  command('train', 'train as a recipe says; Ctrl+C saves a checkpoint and stops')
    .argument('[recipe]', 'a recipe: *.lora.yaml, *.lora.json, or one of LLaMA-Factory, Axolotl or TRL')
    .option('--resume', "go on from the run's newest checkpoint")
    .option(...set)
    .option(...device)
    .option(...threads)
    .action(async (recipe: string | undefined, options: TrainOptions) =>
      done(await train(recipe, options, terminal)),
    );

  command('generate', 'complete prompts with a model and its adapters')
    .requiredOption('--model <folder>', 'a Hugging Face folder')
    .option(...adapters)
    .option('--prompt <text>', 'what to complete; may be repeated', collect)
    .option(
      '--prompts <file>',
      'JSONL: {"prompt": "…", "adapter": "DIR"} per line; the adapter, if any, is that prompt’s own: DIR, DIR=WEIGHT, a list of these, or "__base__" for none',
    )
    .option('--chat', 'put the prompt into the chat template as the user’s turn')
    .option(
      '--max-new-tokens <n>',
      'tokens at most',
      numberOption('--max-new-tokens', { minimum: 1, maximum: 1e6, integer: true }),
      128,
    )
    .option(
      '--temperature <t>',
      '0 is greedy',
      numberOption('--temperature', { minimum: 0, maximum: 100 }),
      0,
    )
    .option(
      '--top-p <p>',
      'draw from the likeliest tokens of this probability',
      numberOption('--top-p', { minimum: 0, maximum: 1 }),
      1,
    )
    .option(
      '--top-k <k>',
      'draw from this many tokens; 0 for all',
      numberOption('--top-k', { minimum: 0, integer: true }),
      0,
    )
    .option(
      '--seed <n>',
      'decides the draw',
      numberOption('--seed', { minimum: 0, maximum: 4294967295, integer: true }),
      42,
    )
    .option(...fourBit)
    .addOption(quantType())
    .option(...doubleQuant)
    .option(...device, 'auto')
    .option(...threads, 0)
    .action(async (options: GenerateOptions) => done(await generate(options, terminal)));

  command('evaluate', 'mean loss per token and perplexity on a dataset')
    .requiredOption('--model <folder>', 'a Hugging Face folder')
    .option(...adapters)
    .requiredOption('--data <file>', 'a dataset: JSONL, JSON, CSV, Parquet or text')
    .option(
      '--max-length <n>',
      'tokens of the longest sequence',
      numberOption('--max-length', { minimum: 2, integer: true }),
    )
    .option(
      '--batch-size <n>',
      'examples at once',
      numberOption('--batch-size', { minimum: 1, maximum: 65536, integer: true }),
      4,
    )
    .option(...fourBit)
    .addOption(quantType())
    .option(...doubleQuant)
    .option(...device, 'auto')
    .option(...threads, 0)
    .action(async (options: EvaluateOptions) => done(await evaluate(options, terminal)));

  command('estimate', 'what a recipe needs: memory by part, whether it fits, what would make it fit')
    .argument('[recipe]', 'a recipe')
    .option(...set)
    .option(...device)
    .option(...threads)
    .action(async (recipe: string | undefined, options: RecipeOptions) =>
      done(await estimate(recipe, options, terminal)),
    );

  command('inspect', 'what an adapter, checkpoint, dataset or run is, and what is wrong with it')
    .argument('<path>', 'a file or folder')
    .action(async (path: string) => done(await inspect(path, terminal)));

  command('merge', "write a checkpoint with an adapter's update in its weights, and verify it")
    .requiredOption('--model <folder>', 'a Hugging Face folder')
    .requiredOption('--adapter <folder>', 'an adapter')
    .requiredOption('--out <folder>', 'where the merged checkpoint goes')
    .option(...fourBit)
    .addOption(quantType())
    .option(...doubleQuant)
    .option(...device, 'auto')
    .option(...threads, 0)
    .action(async (options: MergeOptions) => done(await merge(options, terminal)));

  command('extract', 'what full fine-tuning changed in the linear layers, as a LoRA, and how much that loses')
    .requiredOption('--model <folder>', 'the base checkpoint')
    .requiredOption('--tuned <folder>', 'the fine-tuned checkpoint')
    .requiredOption('--out <folder>', 'where the adapter goes')
    .option('--rank <k>', 'rank of every module', numberOption('--rank', { integer: true, minimum: 1 }), 16)
    .option(...device, 'auto')
    .option(...threads, 0)
    .action(async (options: ExtractOptions) => done(await extract(options, terminal)));

  command(
    'compose',
    'several adapters of one model as one: cat (exact), linear, svd, ties, dare, magnitude_prune',
  )
    .requiredOption('--model <folder>', 'a Hugging Face folder')
    .requiredOption('--adapter <folder[=weight]>', 'an adapter; repeat for each', collectAdapters)
    .option(
      '--weight <w>',
      'the weights of all adapters, 1 by default; repeat for each, in the same order',
      collect,
    )
    .option(
      '--type <type>',
      'cat, linear, svd, ties, dare_linear, dare_ties, magnitude_prune; the last four also with _svd',
      'cat',
    )
    .requiredOption('--out <folder>', 'where the combined adapter goes')
    .option(
      '--rank <r>',
      'rank of the result, for the svd types',
      numberOption('--rank', { minimum: 1, maximum: 65536, integer: true }),
    )
    .option(
      '--density <d>',
      'share of the entries that ties, dare and magnitude_prune keep',
      numberOption('--density', { minimum: 0, maximum: 1 }),
      0.5,
    )
    .option('--majority-sign <how>', 'for ties: total or frequency', 'total')
    .option(
      '--seed <n>',
      'decides what dare drops',
      numberOption('--seed', { minimum: 0, maximum: 4294967295, integer: true }),
      42,
    )
    .option('--peft-scaling', 'apply alpha/r twice in the svd types, as PEFT up to 0.20 does')
    .option(...device, 'auto')
    .option(...threads, 0)
    .action(async (options: ComposeOptions) => done(await compose(options, terminal)));

  command(
    'intrinsic-dimension',
    'how many free numbers a task needs: trains random subspaces and compares with full fine-tuning (d90)',
  )
    .argument('[recipe]', 'a recipe with held-out data; its adapter does not count')
    .option(
      '--dimension <d>',
      'a dimension to try; repeat for more. By default 4, 16, 64 … until one is enough',
      collectNumbers('--dimension', { minimum: 1, maximum: 1_048_576, integer: true }),
    )
    .option(
      '--seed <n>',
      'a seed; repeat for more. By default 0 and 1',
      collectNumbers('--seed', { minimum: 0, maximum: 4294967295, integer: true }),
    )
    .option(
      '--learning-rate <rate>',
      "a learning rate to try, the best counts; repeat for more. By default the recipe's",
      collectNumbers('--learning-rate', { minimum: 0, maximum: 100 }),
    )
    .option(
      '--threshold <share>',
      "the share of full fine-tuning's gain that is enough",
      numberOption('--threshold', { minimum: 0, maximum: 1 }),
      0.9,
    )
    .option('--projection <kind>', 'fastfood, or dense for small models', 'fastfood')
    .option('--scope <what>', 'all parameters, or the weights of targets', 'all')
    .option(...set)
    .option(...device)
    .option(...threads)
    .action(async (recipe: string | undefined, options: IntrinsicDimensionOptions) =>
      done(await intrinsicDimension(recipe, options, terminal)),
    );

  command('convert', 'an adapter as lora or rslora, which computes the same and which PEFT loads')
    .requiredOption('--model <folder>', 'the base, a Hugging Face folder')
    .requiredOption('--adapter <folder>', 'an adapter of any method that has an exact LoRA form')
    .option('--to <type>', 'lora or rslora', 'lora')
    .option(
      '--average-over <data>',
      'for adapters with gates (AM-LoRA): hold each gate at its mean over this dataset; not exact, the loss before and after is told',
    )
    .option(...device, 'auto')
    .option(...threads, 0)
    .requiredOption('--out <folder>', 'where the new adapter goes')
    .action(async (options: ConvertOptions) => done(await convert(options, terminal)));

  command('resize', 'an adapter of another rank, by singular values, with the error that this makes')
    .requiredOption('--model <folder>', 'the base, a Hugging Face folder')
    .requiredOption('--adapter <folder>', 'an adapter')
    .option(
      '--rank <r>',
      'the rank of every module',
      numberOption('--rank', { minimum: 1, maximum: 65536, integer: true }),
    )
    .option(
      '--energy <share>',
      'the least rank of each module that keeps this share of its squared singular values',
      numberOption('--energy', { minimum: 0, maximum: 1 }),
    )
    .option(
      '--seed <n>',
      'decides the new directions of a larger rank',
      numberOption('--seed', { minimum: 0, maximum: 4294967295, integer: true }),
      42,
    )
    .requiredOption('--out <folder>', 'where the new adapter goes')
    .action(async (options: ResizeOptions) => done(await resize(options, terminal)));

  command('diff', 'compare adapters: settings, how far each module moved, how alike the updates are')
    .argument('<adapters...>', 'two adapters or more')
    .action(async (adapters: string[]) => done(await diff(adapters, terminal)));

  command('methods', 'presets, adapters, initialisations, optimizers and all settings').action(() =>
    done(methods(terminal)),
  );

  command('doctor', 'which devices work here, each tried with a real training step')
    .option(...device)
    .option('--install-cuda', 'install the files that CUDA needs of ONNX Runtime, then try the GPU')
    .option('--from <path>', 'a folder, wheel or archive to install from, without a network')
    .option('--with-libraries', 'fetch CUDA libraries that are missing, too, from NVIDIA’s packages')
    .action(async (options: DoctorOptions) => done(await doctor(options, terminal)));

  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync([...args], { from: 'user' });
  } catch (cause) {
    if (!(cause instanceof CommanderError)) throw cause;
    if (cause.exitCode === 0 || cause.code === 'commander.help') return exitCodes.ok;
    throw usageError(cause, args);
  }
  return code;
}

/** Commander's message, with its suggestion as the remedy. */
function usageError(cause: CommanderError, args: readonly string[]): RecipeError {
  const [first = '', ...rest] = cause.message.replace(/^error: /, '').split('\n');
  const meant = /Did you mean (?:one of )?(.*)\?/.exec(rest.join(' '))?.[1];
  const known =
    args[0] !== undefined && /^[a-z]+$/.test(args[0]) && cause.code !== 'commander.unknownCommand';
  const help = `"${programName} ${known ? `${args[0]} ` : ''}--help"`;
  return new RecipeError({
    code: 'usage',
    message: `${first.charAt(0).toUpperCase()}${first.slice(1)}${first.endsWith('.') ? '' : '.'}`,
    remedy: meant === undefined ? `Run ${help} to see what it takes.` : `Write ${meant}, or run ${help}.`,
    cause,
  });
}
