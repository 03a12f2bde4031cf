// Options of commands whose base may be held in 4 bits: as an adapter of QLoRA was trained.
import { Option } from 'commander';
import type { FourBitParams } from '../protocol/trainer';

export interface FourBitOptions {
  loadIn4bit?: boolean;
  bnb4bitQuantType?: 'nf4' | 'fp4';
  bnb4bitUseDoubleQuant?: boolean;
}

export const fourBit = ['--load-in-4bit', 'hold the base in 4 bits, as QLoRA trained on it'] as const;
export const doubleQuant = [
  '--bnb-4bit-use-double-quant',
  "with --load-in-4bit: quantise the blocks' sizes too",
] as const;

export function quantType(): Option {
  return new Option('--bnb-4bit-quant-type <type>', 'with --load-in-4bit').choices(['nf4', 'fp4']);
}

/** The options as a call takes them. */
export function fourBitParams(options: FourBitOptions): FourBitParams {
  if (!options.loadIn4bit) return {};
  return {
    loadIn4bit: true,
    ...(options.bnb4bitQuantType ? { quantType: options.bnb4bitQuantType } : {}),
    ...(options.bnb4bitUseDoubleQuant ? { doubleQuant: true } : {}),
  };
}
