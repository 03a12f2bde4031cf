// --prompts FILE: a JSONL file of prompts, each with adapters of its own or none → what the call takes. A stranger's file: read
// whole, bounded, with every line's mistake at once.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DataError, RecipeError, raiseProblems, UserError } from '../engine/errors';
import type { Problem } from '../protocol/errors';
import type { PromptChoice, WeightedAdapter } from '../protocol/trainer';
import { adapterChoice } from './options';

/** PEFT's name for no adapter. */
const base = '__base__';
const mostBytes = 64 * 2 ** 20;
const remedy =
  'Write one JSON object per line: {"prompt": "…"}, with "adapter": "DIR", "DIR=0.5", a list of these, or "__base__".';

/** Paths in the file are relative to its folder. @throws DataError with every line that cannot be used. */
export function readPrompts(file: string): PromptChoice[] {
  const path = resolve(file);
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined || size > mostBytes) {
    throw new DataError({
      code: 'prompts-file',
      message:
        size === undefined
          ? `There is no file ${path}.`
          : `${path} has ${size} bytes; a file of prompts has at most ${mostBytes}.`,
      remedy: 'Give a JSONL file with a prompt per line.',
    });
  }
  const problems: Problem[] = [];
  const prompts: PromptChoice[] = [];
  readFileSync(path, 'utf8')
    .split(/\r?\n/)
    .forEach((line, i) => {
      if (line.trim() === '') return;
      const choice = promptOf(line, dirname(path));
      if (typeof choice === 'object' && 'problem' in choice)
        problems.push({ where: `${path}, line ${i + 1}`, message: choice.problem });
      else prompts.push(choice);
    });
  if (prompts.length === 0 && problems.length === 0)
    problems.push({ where: path, message: 'has no prompts' });
  raiseProblems(DataError, 'prompts-file', 'These prompts cannot be read:', problems, remedy);
  return prompts;
}

function promptOf(line: string, folder: string): PromptChoice | { problem: string } {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    return { problem: `is no JSON (${(cause as Error).message})` };
  }
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return { problem: 'is no JSON object' };
  const { prompt, adapter, ...others } = row as Record<string, unknown>;
  const [surplus] = Object.keys(others);
  if (typeof prompt !== 'string') return { problem: 'needs a text at "prompt"' };
  if (surplus !== undefined) return { problem: `has "${surplus}"; expected "prompt" and "adapter"` };
  if (adapter === undefined) return prompt;
  const given = Array.isArray(adapter) ? adapter : adapter === null || adapter === base ? [] : [adapter];
  const adapters: WeightedAdapter[] = [];
  for (const one of given) {
    if (typeof one !== 'string' || one === '' || one === base)
      return { problem: `has ${JSON.stringify(one)} at "adapter"; expected folders` };
    try {
      adapters.push(adapterChoice(one, folder));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { problem: `has "${one}" at "adapter"; its weight is no number` };
    }
  }
  return { prompt, adapters };
}

/** The prompts of --prompt and --prompts. */
export function givenPrompts(prompts: readonly string[], file: string | undefined): PromptChoice[] {
  const all = [...prompts, ...(file === undefined ? [] : readPrompts(file))];
  if (all.length > 0) return all;
  throw new RecipeError({
    code: 'usage',
    message: 'There is nothing to complete.',
    remedy: 'Give --prompt TEXT, or --prompts FILE with a JSON object per line.',
  });
}
