// Settings that are each valid and make no sense together. In: a resolved recipe and the keys that were given.
// Out: problems that name both settings. What concerns one variant stands in that variant's catalogue entry instead.
import type { Mend, Problem } from '../../protocol/errors';
import type { Recipe } from '../../protocol/recipe';
import { RegexRefusal, translate } from '../adapters/pythonRegex';

interface Contradiction {
  /** The key whose line is shown. */
  key: keyof Recipe;
  holds: (recipe: Recipe, given: ReadonlySet<string>) => boolean;
  message: string;
  remedy: string;
  mends?: readonly Mend[];
}

const hasEvalData = (recipe: Recipe): boolean => recipe.eval_dataset.length > 0 || recipe.val_size > 0;

const contradictions: readonly Contradiction[] = [
  {
    key: 'adapter_name_or_path',
    holds: (recipe) => recipe.adapter_name_or_path !== null && recipe.adapter === 'none',
    message: 'adapter_name_or_path goes on from an adapter, and adapter: none trains the whole model.',
    remedy: 'Remove adapter_name_or_path, or merge the adapter first and give the merged model.',
    mends: [{ key: 'adapter_name_or_path' }],
  },
  {
    key: 'init_lora_weights',
    holds: (recipe) =>
      recipe.adapter_name_or_path !== null &&
      typeof recipe.init_lora_weights === 'string' &&
      !['gaussian', 'orthogonal'].includes(recipe.init_lora_weights),
    message: 'adapter_name_or_path says where training starts, and init_lora_weights would change the base.',
    remedy: 'Remove init_lora_weights.',
    mends: [{ key: 'init_lora_weights' }, { key: 'adapter_name_or_path' }],
  },
  {
    key: 'fp16',
    holds: (recipe) => recipe.bf16 && recipe.fp16,
    message: 'bf16 and fp16 are both on; a run computes in one of them.',
    remedy: 'Remove bf16, or fp16.',
    mends: [{ key: 'bf16' }, { key: 'fp16' }],
  },
  {
    key: 'bf16',
    holds: (recipe) => recipe.bf16 && !recipe.fp16 && recipe.dtype !== 'bfloat16',
    message: 'bf16 is on, and dtype says otherwise.',
    remedy: 'Remove dtype, or bf16.',
    mends: [{ key: 'dtype' }, { key: 'bf16' }],
  },
  {
    key: 'fp16',
    holds: (recipe) => recipe.fp16 && !recipe.bf16 && recipe.dtype !== 'float16',
    message: 'fp16 is on, and dtype says otherwise.',
    remedy: 'Remove dtype, or fp16.',
    mends: [{ key: 'dtype' }, { key: 'fp16' }],
  },
  {
    key: 'dtype',
    holds: (recipe) => recipe.dtype === 'bfloat16' && !recipe.bf16 && recipe.device === 'webgpu',
    message: 'device: webgpu has no bfloat16.',
    remedy: 'Set dtype: float16 or float32.',
    mends: [
      { key: 'dtype', value: 'float16' },
      { key: 'dtype', value: 'float32' },
    ],
  },
  {
    key: 'bf16',
    holds: (recipe) => recipe.bf16 && recipe.device === 'webgpu',
    message: 'device: webgpu has no bfloat16.',
    remedy: 'Remove bf16, and set dtype: float16 or float32.',
  },
  {
    key: 'val_size',
    holds: (recipe) => recipe.eval_dataset.length > 0 && recipe.val_size > 0,
    message: 'val_size and eval_dataset are both given; held-out data comes from one of them.',
    remedy: 'Remove val_size, or eval_dataset.',
    mends: [{ key: 'val_size' }, { key: 'eval_dataset' }],
  },
  {
    key: 'val_size',
    holds: (recipe) => recipe.val_size > 1 && !Number.isInteger(recipe.val_size),
    message: 'val_size above 1 counts examples and must be whole.',
    remedy: 'Give a fraction below 1 or a whole number of examples.',
  },
  {
    key: 'val_size',
    holds: (recipe) => recipe.val_size === 1,
    message: 'val_size: 1 could be every example or one example.',
    remedy: 'Give a fraction below 1, or 2 and more examples.',
  },
  {
    key: 'eval_steps',
    holds: (recipe, given) => given.has('eval_steps') && !hasEvalData(recipe),
    message: 'eval_steps is given, and there is nothing to evaluate on.',
    remedy: 'Add eval_dataset or val_size: 0.1, or remove eval_steps.',
    mends: [{ key: 'val_size', value: 0.1 }, { key: 'eval_steps' }],
  },
  {
    key: 'eval_strategy',
    holds: (recipe, given) =>
      given.has('eval_strategy') && recipe.eval_strategy !== 'no' && !hasEvalData(recipe),
    message: 'eval_strategy asks for evaluations, and there is nothing to evaluate on.',
    remedy: 'Add eval_dataset or val_size: 0.1, or remove eval_strategy.',
    mends: [{ key: 'val_size', value: 0.1 }, { key: 'eval_strategy' }],
  },
  {
    key: 'eval_strategy',
    holds: (recipe, given) =>
      given.has('eval_strategy') && given.has('eval_steps') && recipe.eval_strategy !== 'steps',
    message: 'eval_steps is given, and eval_strategy is not steps.',
    remedy: 'Set eval_strategy: steps, or remove eval_steps.',
    mends: [{ key: 'eval_strategy', value: 'steps' }, { key: 'eval_steps' }],
  },
  {
    key: 'eval_strategy',
    holds: (recipe, given) => recipe.eval_strategy === 'steps' && !given.has('eval_steps'),
    message: 'eval_strategy: steps needs eval_steps.',
    remedy: 'Add eval_steps, for example eval_steps: 50.',
    mends: [{ key: 'eval_steps', value: 50 }],
  },
  {
    key: 'save_strategy',
    holds: (recipe, given) =>
      given.has('save_strategy') && given.has('save_steps') && recipe.save_strategy !== 'steps',
    message: 'save_steps is given, and save_strategy is not steps.',
    remedy: 'Set save_strategy: steps, or remove save_steps.',
    mends: [{ key: 'save_strategy', value: 'steps' }, { key: 'save_steps' }],
  },
  {
    key: 'save_strategy',
    holds: (recipe, given) => recipe.save_strategy === 'steps' && !given.has('save_steps'),
    message: 'save_strategy: steps needs save_steps.',
    remedy: 'Add save_steps, for example save_steps: 100.',
    mends: [{ key: 'save_steps', value: 100 }],
  },
  {
    key: 'load_best_model_at_end',
    holds: (recipe) => recipe.load_best_model_at_end && recipe.eval_strategy === 'no',
    message: 'load_best_model_at_end needs evaluations, and there are none.',
    remedy: 'Add eval_dataset or val_size: 0.1, or remove load_best_model_at_end.',
    mends: [{ key: 'val_size', value: 0.1 }, { key: 'load_best_model_at_end' }],
  },
  {
    key: 'early_stopping_patience',
    holds: (recipe) => recipe.early_stopping_patience !== null && recipe.eval_strategy === 'no',
    message: 'early_stopping_patience counts evaluations, and there are none.',
    remedy: 'Add eval_dataset or val_size: 0.1, or remove early_stopping_patience.',
    mends: [{ key: 'val_size', value: 0.1 }, { key: 'early_stopping_patience' }],
  },
  {
    key: 'early_stopping_threshold',
    holds: (recipe) => recipe.early_stopping_threshold > 0 && recipe.early_stopping_patience === null,
    message: 'early_stopping_threshold has no effect without early_stopping_patience.',
    remedy: 'Add early_stopping_patience, or remove early_stopping_threshold.',
    mends: [{ key: 'early_stopping_threshold' }],
  },
  {
    key: 'max_steps',
    holds: (recipe) => recipe.max_steps === 0,
    message: 'max_steps: 0 would train nothing.',
    remedy: 'Give at least 1, or -1 to go by num_train_epochs.',
  },
  {
    key: 'lr_scheduler_type',
    holds: (recipe) =>
      recipe.lr_scheduler_type === 'constant' && (recipe.warmup_ratio > 0 || recipe.warmup_steps > 0),
    message: 'lr_scheduler_type: constant has no warm-up, and one is given.',
    remedy: 'Set lr_scheduler_type: constant_with_warmup, or remove the warm-up.',
    mends: [{ key: 'lr_scheduler_type', value: 'constant_with_warmup' }],
  },
  {
    key: 'layers_pattern',
    holds: (recipe) => recipe.layers_pattern !== null && recipe.layers_to_transform === null,
    message: 'layers_pattern has no effect without layers_to_transform.',
    remedy: 'Add layers_to_transform, or remove layers_pattern.',
    mends: [{ key: 'layers_pattern' }],
  },
  {
    key: 'layers_to_transform',
    holds: (recipe) =>
      recipe.layers_to_transform !== null &&
      typeof recipe.target_modules === 'string' &&
      recipe.target_modules !== 'all-linear',
    message: 'layers_to_transform cannot be used where target_modules is a regular expression.',
    remedy: 'Write target_modules as a list, or put the layers into the expression.',
  },
  {
    key: 'warmup_ratio',
    holds: (recipe, given) =>
      given.has('warmup_steps') &&
      given.has('warmup_ratio') &&
      recipe.warmup_steps > 0 &&
      recipe.warmup_ratio > 0,
    message: 'warmup_steps and warmup_ratio are both given.',
    remedy: 'Remove one of the two.',
    mends: [{ key: 'warmup_steps' }, { key: 'warmup_ratio' }],
  },
];

/** Every contradiction in a recipe; `where` is the key. */
export function findContradictions(recipe: Recipe, given: ReadonlySet<string>): Problem[] {
  const problems: Problem[] = contradictions
    .filter((contradiction) => contradiction.holds(recipe, given))
    .map(({ key, message, remedy, mends }) => ({ where: key, message, remedy, ...(mends ? { mends } : {}) }));
  for (const key of ['target_modules', 'exclude_modules'] as const) {
    const problem = regularExpressionProblem(recipe[key]);
    if (problem !== undefined)
      problems.push({ where: key, message: problem, remedy: 'Correct the expression, or list the modules.' });
  }
  for (const key of ['rank_pattern', 'alpha_pattern'] as const) {
    for (const pattern of Object.keys(recipe[key])) {
      const problem = regularExpressionProblem(pattern);
      if (problem !== undefined)
        problems.push({ where: `${key}.${pattern}`, message: problem, remedy: 'Correct the expression.' });
    }
  }
  return problems;
}

/** Completes "key …"; undefined where the pattern is fine or is no pattern. Patterns are Python's, as in PEFT. */
function regularExpressionProblem(pattern: string | readonly string[] | null): string | undefined {
  if (typeof pattern !== 'string') return undefined;
  try {
    translate(pattern);
    return undefined;
  } catch (cause) {
    if (!(cause instanceof RegexRefusal)) throw cause;
    return `the regular expression "${pattern.slice(0, 80)}" ${cause.message}.`;
  }
}
