// Continues prompts with the model that is being trained: how its writing changes. Shares the run's weights and parameters.
import type { Tokenizer } from '../data';
import { Generator } from '../generate/generator';
import type { StepperOptions } from '../generate/stepper';

/** New tokens of a sample. */
const sampleTokens = 64;

export class SampleWriter {
  readonly #generator: Generator;

  constructor(
    options: StepperOptions,
    private readonly tokenizer: Tokenizer,
    private readonly prompts: readonly string[],
    private readonly seed: number,
  ) {
    this.#generator = new Generator(options);
  }

  /** Each prompt's continuation, greedily, by the parameters as they are now. */
  async write(cancelled: () => boolean): Promise<{ prompt: string; text: string }[]> {
    const { tokenizer, prompts } = this;
    const continuations = await this.#generator.generate(
      prompts.map((prompt) => tokenizer.encode(prompt)),
      {
        maxNewTokens: sampleTokens,
        temperature: 0,
        topP: 1,
        topK: 0,
        seed: this.seed,
        eosIds: tokenizer.eosIds,
        cancelled,
      },
    );
    return continuations.map(({ ids }, i) => {
      const stream = tokenizer.stream();
      return { prompt: prompts[i]!, text: ids.map((id) => stream.push(id)).join('') + stream.end() };
    });
  }

  release(): void {
    this.#generator.release();
  }
}
