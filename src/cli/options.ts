// Command-line option texts → checked values. Mistakes are UserErrors with the option's name.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { RecipeError } from '../engine/errors';
import type { WeightedAdapter } from '../protocol/trainer';

interface Bounds {
  minimum: number;
  maximum?: number;
  integer?: boolean;
}

/** A parser of a number option, for commander. */
export function numberOption(
  name: string,
  { minimum, maximum, integer = false }: Bounds,
): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    const fits =
      Number.isFinite(value) &&
      value >= minimum &&
      value <= (maximum ?? Number.MAX_VALUE) &&
      (!integer || Number.isSafeInteger(value));
    if (fits) return value;
    const kind = integer ? 'a whole number' : 'a number';
    const range = maximum === undefined ? `from ${minimum}` : `from ${minimum} to ${maximum}`;
    throw new RecipeError({
      code: 'usage',
      message: `${name} takes ${kind} ${range}, found "${text}".`,
      remedy: `Give ${name} ${kind} ${range}.`,
    });
  };
}

/** A parser of --device. */
export function deviceOption(text: string): string {
  if (/^(auto|cpu|webgpu|cuda(:\d{1,2})?)$/.test(text)) return text;
  throw new RecipeError({
    code: 'usage',
    message: `--device takes auto, cpu, cuda, cuda:<number> or webgpu, found "${text}".`,
    remedy: 'Choose one of them; "lora-workbench doctor" shows which work here.',
  });
}

/** Gathers a repeated option. */
export function collect(text: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), text];
}

/** Gathers a repeated number option. */
export function collectNumbers(
  name: string,
  bounds: Bounds,
): (text: string, earlier: number[] | undefined) => number[] {
  const parse = numberOption(name, bounds);
  return (text, earlier) => [...(earlier ?? []), parse(text)];
}

/** `DIR` or `DIR=WEIGHT` → an adapter; a folder whose own name ends so is a folder. */
export function adapterChoice(text: string, base = process.cwd()): WeightedAdapter {
  const [, folder, number] = /^(.+)=([^=/\\]*)$/.exec(text) ?? [];
  if (folder === undefined || existsSync(resolve(base, text)))
    return { folder: resolve(base, text), weight: 1 };
  const weight = number!.trim() === '' ? Number.NaN : Number(number);
  if (Number.isFinite(weight)) return { folder: resolve(base, folder), weight };
  throw new RecipeError({
    code: 'usage',
    message: `--adapter takes a folder, or a folder and a number as in DIR=0.5, found "${text}".`,
    remedy: 'Give the weight as a number.',
  });
}

/** Gathers --adapter. */
export function collectAdapters(text: string, earlier: WeightedAdapter[] | undefined): WeightedAdapter[] {
  return [...(earlier ?? []), adapterChoice(text)];
}
