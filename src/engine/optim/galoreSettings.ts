// GaLore's settings: the HF Trainer's `optim_target_modules` and `optim_args`, and the same as settings of their own. In:
// a recipe's settings. Out: which tensors are projected, and how.
import type { Problem } from '../../protocol/errors';
import type { SettingField, SettingValue } from '../../protocol/settings';
import { matchAll, RegexRefusal, translate } from '../adapters/pythonRegex';
import type { PlannedTensor } from '../adapters/variant';
import type { OptimizerSettings } from './optimizer';

export const projectionTypes = ['std', 'reverse_std', 'left', 'right', 'full'] as const;
export type ProjectionType = (typeof projectionTypes)[number];

export interface GaloreSettings {
  rank: number;
  /** Steps between two refreshes. */
  updateInterval: number;
  scale: number;
  projection: ProjectionType;
}

export const galoreFields: readonly SettingField[] = [
  {
    key: 'optim_target_modules',
    type: 'union',
    options: [{ type: 'string' }, { type: 'list', items: { type: 'string' }, minimumItems: 1 }],
    default: 'all-linear',
    group: 'optimization',
    description:
      'Linear layers whose gradients are projected: all-linear (all but the head), parts of names in a list, or a regular expression over the whole path.',
  },
  {
    key: 'optim_args',
    type: 'string',
    default: null,
    group: 'optimization',
    advanced: true,
    description:
      "The HF Trainer's form of the settings below: rank=128, update_proj_gap=200, scale=0.25, proj_type=std.",
  },
  {
    key: 'galore_rank',
    type: 'integer',
    minimum: 1,
    default: 128,
    group: 'optimization',
    description:
      'Rank of the projected gradients, at most the smaller side of each matrix; usually 4 to 1024.',
  },
  {
    key: 'galore_update_interval',
    type: 'integer',
    minimum: 1,
    default: 200,
    unit: 'optimizer steps',
    group: 'optimization',
    description: 'Steps between two new projections.',
  },
  {
    key: 'galore_scale',
    type: 'number',
    exclusiveMinimum: 0,
    default: 0.25,
    group: 'optimization',
    description: 'Multiplies the projected step.',
  },
  {
    key: 'galore_proj_type',
    type: 'enum',
    choices: [
      { id: 'std', label: 'The smaller side of each matrix: the least memory' },
      { id: 'reverse_std', label: 'The larger side' },
      { id: 'left', label: 'The rows' },
      { id: 'right', label: 'The columns' },
      { id: 'full', label: 'Both sides' },
    ],
    default: 'std',
    group: 'optimization',
    advanced: true,
    description: 'Which side of the gradients is projected.',
  },
];

/** `optim_args` name → setting. */
const argumentKeys = {
  rank: 'galore_rank',
  update_proj_gap: 'galore_update_interval',
  scale: 'galore_scale',
  proj_type: 'galore_proj_type',
} as const;
type ArgumentName = keyof typeof argumentKeys;

/** Settings that `optim_args` gives. */
function parseArguments(text: SettingValue | undefined): {
  values: Map<string, SettingValue>;
  problems: Problem[];
} {
  const values = new Map<string, SettingValue>();
  const problems: Problem[] = [];
  const wrong = (message: string, remedy: string) => problems.push({ where: 'optim_args', message, remedy });
  if (typeof text !== 'string') return { values, problems };
  for (const part of text.replaceAll(' ', '').split(',').slice(0, 100)) {
    const [name = '', value = '', ...rest] = part.split('=');
    const known = Object.keys(argumentKeys).join(', ');
    if (part === '') continue;
    if (!Object.hasOwn(argumentKeys, name) || value === '' || rest.length > 0) {
      wrong(
        `optim_args: "${part}" is none of ${known}, each as name=value.`,
        `Write for example rank=128, scale=0.25.`,
      );
      continue;
    }
    if (name === 'proj_type') {
      if ((projectionTypes as readonly string[]).includes(value)) values.set(argumentKeys.proj_type, value);
      else
        wrong(
          `optim_args: proj_type=${value} is not among ${projectionTypes.join(', ')}.`,
          'Write proj_type=std.',
        );
      continue;
    }
    const number = Number(value);
    const whole = name !== 'scale';
    if (Number.isFinite(number) && number > 0 && (!whole || Number.isSafeInteger(number)))
      values.set(argumentKeys[name as ArgumentName], number);
    else
      wrong(
        `optim_args: ${name}=${value} must be a ${whole ? 'whole ' : ''}number above 0.`,
        `Give ${name} a positive number.`,
      );
  }
  return { values, problems };
}

/** What the two forms say together; the Trainer's takes precedence, and `galoreProblems` reports where they differ. */
export function galoreSettings({ settings }: Pick<OptimizerSettings, 'settings'>): GaloreSettings {
  const { values } = parseArguments(settings.optim_args);
  const get = (key: string): SettingValue | undefined =>
    values.get(key) ?? settings[key] ?? galoreFields.find((field) => field.key === key)!.default;
  return {
    rank: Number(get('galore_rank')),
    updateInterval: Number(get('galore_update_interval')),
    scale: Number(get('galore_scale')),
    projection: get('galore_proj_type') as ProjectionType,
  };
}

export function galoreProblems({ settings }: Pick<OptimizerSettings, 'settings'>): Problem[] {
  const { values, problems } = parseArguments(settings.optim_args);
  for (const [key, value] of values) {
    const own = settings[key];
    const usual = galoreFields.find((field) => field.key === key)!.default;
    if (own !== undefined && own !== usual && own !== value) {
      problems.push({
        where: 'optim_args',
        message: `optim_args says ${value}, and ${key} says ${own}.`,
        remedy: `Remove ${key}, or take it out of optim_args.`,
      });
    }
  }
  for (const pattern of patternsOf(settings.optim_target_modules)) {
    try {
      translate(pattern);
    } catch (error) {
      if (!(error instanceof RegexRefusal)) throw error;
      problems.push({
        where: 'optim_target_modules',
        message: `optim_target_modules: "${pattern}" ${error.message}.`,
        remedy: 'Write the names of the modules as a list, for example [q_proj, v_proj].',
      });
    }
  }
  return problems;
}

function patternsOf(targets: SettingValue | undefined): readonly string[] {
  if (typeof targets === 'string') return isAllLinear(targets) ? [] : [targets];
  return Array.isArray(targets) ? targets.map(String) : [];
}

const isAllLinear = (text: string): boolean => text.replaceAll('_', '-') === 'all-linear';

/**
 * Whether a tensor is projected: the weight of a linear layer that the setting names, by the HF Trainer's rules (a text is a
 * regular expression over the path, an item of a list is a part of it or such an expression). The head counts where it is
 * named, not under all-linear.
 */
export function isProjected(
  { name, shape, module }: PlannedTensor,
  { settings }: Pick<OptimizerSettings, 'settings'>,
): boolean {
  if (!module || (module.kind !== 'linear' && module.kind !== 'conv1d')) return false;
  if (shape.length !== 2 || !name.endsWith('weight')) return false;
  const targets = settings.optim_target_modules ?? 'all-linear';
  if (typeof targets === 'string' && isAllLinear(targets)) return !module.head;
  const patterns = patternsOf(targets);
  if (typeof targets !== 'string' && patterns.some((part) => module.path.includes(part))) return true;
  const compiled = patterns.map((pattern) => translate(pattern));
  return matchAll(compiled, 'fullmatch', [module.path], 'optim_target_modules').some(([hit]) => hit);
}
