// Reads values out of a config.json that a stranger wrote, gathering every problem before raising one error.

import type { Problem } from '../../protocol/errors';
import { CheckpointError, raiseProblems } from '../errors';

export class ConfigReader {
  readonly #problems: Problem[] = [];

  constructor(private readonly config: Record<string, unknown>) {}

  /** A positive whole number; `fallback` where the key is absent or null. */
  integer(key: string, fallback?: number, maximum = 2 ** 31 - 1): number {
    const value = this.config[key] ?? fallback;
    const whole = typeof value === 'number' && Number.isInteger(value) && value > 0;
    if (whole && value <= maximum) return value;
    this.problem(key, whole ? `at most ${maximum}` : 'a positive whole number', value);
    return fallback ?? 1;
  }

  /** How many layers; bounded, because modules are made for each before any tensor is looked for. */
  layers(key: string, fallback?: number): number {
    return this.integer(key, fallback, 10_000);
  }

  /** A number from 0 on, such as an epsilon. */
  number(key: string, fallback?: number): number {
    const value = this.config[key] ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    this.problem(key, 'a number from 0 on', value);
    return fallback ?? 1;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.config[key] ?? fallback;
    if (typeof value === 'boolean') return value;
    this.problem(key, 'true or false', value);
    return fallback;
  }

  /** One of the listed strings. */
  choice<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.config[key] ?? fallback;
    if (choices.includes(value as T)) return value as T;
    this.problem(key, `one of ${choices.join(', ')}`, value);
    return fallback;
  }

  /** An object, or undefined where the key is absent or null. */
  section(key: string): Record<string, unknown> | undefined {
    const value = this.config[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
    this.problem(key, 'an object', value);
    return undefined;
  }

  raw(key: string): unknown {
    return this.config[key];
  }

  problem(key: string, expected: string, found: unknown): void {
    const shown = found === undefined ? 'nothing' : (JSON.stringify(found) ?? String(found)).slice(0, 80);
    this.#problems.push({ where: `config.json: ${key}`, message: `expected ${expected}, found ${shown}` });
  }

  /** States what must hold between keys. */
  check(holds: boolean, key: string, message: string): void {
    if (!holds) this.#problems.push({ where: `config.json: ${key}`, message });
  }

  /** Raises everything that was wrong. */
  finish(): void {
    raiseProblems(
      CheckpointError,
      'config-invalid',
      'This config.json does not describe a model that can be built.',
      this.#problems,
      'Restore the config.json that belongs to the checkpoint.',
    );
  }
}
