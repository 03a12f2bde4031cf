// Generates continuations: batches of prompts as ids in, ids out as they come. Knows sampling and when a text ends; texts
// and templates are the caller's.

import type { Problem } from '../../protocol/errors';
import type { LoadedAdapter } from '../adapters/loaded';
import { RunError, raiseProblems } from '../errors';
import { Random } from '../random';
import { type SamplingOptions, sampleToken } from './sampler';
import { type Batch, Stepper, type StepperOptions } from './stepper';

export interface GenerationOptions extends SamplingOptions {
  maxNewTokens: number;
  /** Each of these ends a text; they are not part of it. */
  eosIds: readonly number[];
  seed: number;
  /** Prompts that run together. Default 8. */
  batchSize?: number;
  /** By prompt: the weight of every adapter that is offered, 0 for none of it. */
  choices?: readonly (readonly number[])[];
  /** Asked between tokens. */
  cancelled?: () => boolean;
}

export interface Continuation {
  /** New ids, without the one that ended the text. */
  ids: readonly number[];
  /** `length`: maxNewTokens or the model's last position. */
  finishReason: 'stop' | 'length' | 'cancelled';
}

/** Called for each new token; `logits` [V] are those it was chosen from, valid during the call. */
export type OnToken = (prompt: number, id: number, logits: Float32Array) => void;

interface Row {
  index: number;
  prompt: readonly number[];
  ids: number[];
  /** Most new tokens. */
  limit: number;
  random: Random;
  choice?: readonly number[];
  finished?: Continuation['finishReason'];
}

export class Generator {
  readonly #stepper: Stepper;
  /** Positions that the model has; frequencies that follow the length know no end. */
  readonly #positions: number;
  readonly #vocabulary: number;

  constructor(options: StepperOptions) {
    this.#stepper = new Stepper(options);
    this.#vocabulary = options.model.vocabularySize;
    this.#positions = options.model.lengthDependent ? Number.MAX_SAFE_INTEGER : options.model.maxPositions;
  }

  /**
   * Puts adapters, added together by their weights (1), in place of those before; none for the base model. Returns whether
   * graphs have to be built again, as for modules or ranks that no adapter had before. Not while `generate` runs.
   */
  setAdapters(adapters: readonly LoadedAdapter[], weights?: readonly number[]): Promise<boolean> {
    return this.#stepper.setAdapters(adapters, weights);
  }

  /** Puts adapters in place of which every prompt takes what `GenerationOptions.choices` says; all of them `servesRows`. */
  offerAdapters(adapters: readonly LoadedAdapter[]): Promise<boolean> {
    return this.#stepper.offerAdapters(adapters);
  }

  /**
   * Continues each prompt; results are in the prompts' order. What a row draws depends on the seed, its prompt and how
   * often that prompt stood before it with the same adapters, not on the batch. Throws one RunError that
   * lists every prompt that cannot be continued.
   */
  async generate(
    prompts: readonly (readonly number[])[],
    options: GenerationOptions,
    onToken?: OnToken,
  ): Promise<Continuation[]> {
    const rows = this.#rows(prompts, options);
    // Prompts of like length run together, so that little is padded.
    const order = [...rows].sort((a, b) => b.prompt.length - a.prompt.length || a.index - b.index);
    const batchSize = options.batchSize ?? 8;
    for (let i = 0; i < order.length; i += batchSize)
      await this.#run(order.slice(i, i + batchSize), options, onToken);
    return rows.map(({ ids, finished }) => ({ ids, finishReason: finished! }));
  }

  release(): void {
    this.#stepper.release();
  }

  #rows(prompts: readonly (readonly number[])[], options: GenerationOptions): Row[] {
    this.#check(prompts);
    const known = new Map<string, number>();
    return prompts.map((prompt, index): Row => {
      const key = prompt.join(',');
      const choice = options.choices?.[index];
      const chosen = `${key} ${choice?.join(',')}`;
      const before = known.get(chosen) ?? 0;
      known.set(chosen, before + 1);
      const limit = Math.min(options.maxNewTokens, this.#positions - prompt.length);
      const random = new Random(options.seed, 'generation', key, before);
      return {
        index,
        prompt,
        ids: [],
        limit,
        random,
        ...(choice && { choice }),
        ...(limit > 0 ? {} : { finished: 'length' }),
      };
    });
  }

  #check(prompts: readonly (readonly number[])[]): void {
    const problems: Problem[] = [];
    prompts.forEach((prompt, index) => {
      const where = `prompt ${index + 1}`;
      const foreign = prompt.find((id) => !(id >= 0 && id < this.#vocabulary));
      if (prompt.length === 0) {
        problems.push({ where, message: 'has no tokens', remedy: 'Give at least one word to go on from.' });
      } else if (prompt.length >= this.#positions) {
        problems.push({
          where,
          message: `has ${prompt.length} tokens; the model has ${this.#positions} positions and needs one for what it writes`,
          remedy: `Shorten the prompt to ${this.#positions - 1} tokens or fewer.`,
        });
      }
      if (foreign !== undefined) {
        problems.push({
          where,
          message: `has the token id ${foreign}, and the model's vocabulary ends at ${this.#vocabulary - 1}`,
          remedy: 'Use the tokenizer that belongs to the model.',
        });
      }
    });
    raiseProblems(RunError, 'prompts-invalid', 'These prompts cannot be continued:', problems);
  }

  async #run(rows: Row[], options: GenerationOptions, onToken?: OnToken): Promise<void> {
    let batch: Batch | undefined;
    for (;;) {
      if (options.cancelled?.()) for (const row of rows) row.finished ??= 'cancelled';
      if (rows.every((row) => row.finished)) return;
      let logits: Float32Array;
      if (batch) {
        logits = await batch.step(
          rows.map((row) => row.ids.at(-1) ?? 0),
          rows.map((row) => !row.finished),
        );
      } else {
        const longest = Math.max(...rows.map(({ prompt, limit }) => prompt.length + limit));
        ({ batch, logits } = await this.#stepper.begin(
          rows.map(({ prompt }) => prompt),
          longest,
          this.#positions,
          options.choices && rows.map(({ choice }) => choice!),
        ));
      }
      const vocabulary = logits.length / rows.length;
      rows.forEach((row, i) => {
        if (row.finished) return;
        const own = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
        const id = sampleToken(own, options, row.random, seen(row));
        if (options.eosIds.includes(id)) {
          row.finished = 'stop';
          return;
        }
        row.ids.push(id);
        onToken?.(row.index, id, own);
        if (row.ids.length >= row.limit) row.finished = 'length';
      });
    }
  }
}

function* seen(row: Row): Iterable<number> {
  yield* row.prompt;
  yield* row.ids;
}
