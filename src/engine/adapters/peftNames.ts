// The names of tensors in PEFT files: from module path and parameter to the full name and back. Knows no shapes.

/** Parameters that PEFT hangs on an adapted module, by peft_type; longest first where one ends another. */
const parameters = {
  LORA: [
    'lora_A.weight',
    'lora_B.weight',
    'lora_B.bias',
    'lora_embedding_A',
    'lora_embedding_B',
    'lora_magnitude_vector',
  ],
  ADALORA: ['lora_A', 'lora_B', 'lora_E'],
  VERA: ['vera_lambda_b', 'vera_lambda_d'],
} as const;

/** Tensors that a whole adapter shares, at the root of its file. */
const shared = ['base_model.vera_A', 'base_model.vera_B'];

export type PeftParameter = (typeof parameters)[keyof typeof parameters][number];

const root = 'base_model.model.';

/** `lora_A.weight` of `model.layers.0.mlp.up_proj` → its name in the file. */
export function tensorName(modulePath: string, parameter: string): string {
  return `${root}${modulePath}.${parameter}`;
}

/** The full name of a planned tensor, whose name lacks PEFT's prefix unless it stands at the root. */
export function fileName(planned: string): string {
  return shared.includes(planned) ? planned : `${root}${planned}`;
}

export interface ParsedName {
  /** Path in the base model. */
  module: string;
  /** An adapter's parameter, or undefined for a parameter that the file holds whole (`modules_to_save`, biases). */
  parameter?: PeftParameter;
}

/** Takes a name apart; undefined when it is none of PEFT's. The name must be normal (`normalName`). */
export function parseName(name: string, type: keyof typeof parameters = 'LORA'): ParsedName | undefined {
  if (type === 'VERA' && shared.includes(name)) return { module: '' };
  if (!name.startsWith(root)) return undefined;
  const path = name.slice(root.length);
  const parameter = parameters[type].find((suffix) => path.endsWith(`.${suffix}`));
  if (parameter) return { module: path.slice(0, -parameter.length - 1), parameter };
  // Anything else that calls itself by a method's name is of a kind that is not known here.
  return /(^|\.)(lora|vera)_/i.test(path) ? undefined : { module: path.slice(0, path.lastIndexOf('.')) };
}

/**
 * The name as PEFT writes it: without the adapter's name, which old files and other programs leave behind the
 * parameter or the module, and without `.weight` on a magnitude vector.
 */
export function normalName(name: string, adapterName = 'default'): string {
  const own = new Set(['default', adapterName]);
  return name
    .replace(
      /\.(lora_[ABE]|vera_[AB]|vera_lambda_[bd]|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|modules_to_save)\.([^.]+)(?=\.|$)/,
      (found, parameter: string, segment: string) => {
        if (!own.has(segment)) return found;
        return parameter === 'modules_to_save' ? '' : `.${parameter}`;
      },
    )
    .replace(/\.lora_magnitude_vector\.weight$/, '.lora_magnitude_vector');
}
