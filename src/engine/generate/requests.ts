// Prompts that each name their adapters, together: one batch in which every row weighs the adapters for itself where all that
// the adapters do lies in factors, else one selection after the other. What comes out is what each request gives alone.
import type { LoadedAdapter } from '../adapters/loaded';
import type { Continuation, GenerationOptions, Generator, OnToken } from './generator';
import { servesRows } from './slots';

/** Adapters that are added together, each with a factor on its update; none for the base. */
export type Selection = readonly { adapter: LoadedAdapter; weight: number }[];

export interface GenerationRequest {
  prompt: readonly number[];
  selection: Selection;
}

/** Puts adapters into place and continues every prompt; results are in the requests' order. Errors as Generator's. */
export async function generateRequests(
  generator: Generator,
  requests: readonly GenerationRequest[],
  options: Omit<GenerationOptions, 'choices'>,
  onToken?: OnToken,
): Promise<Continuation[]> {
  const adapters = [...new Set(requests.flatMap(({ selection }) => selection.map(({ adapter }) => adapter)))];
  const weightsOf = (selection: Selection): number[] =>
    adapters.map((adapter) =>
      selection.reduce((sum, one) => sum + (one.adapter === adapter ? one.weight : 0), 0),
    );
  const choices = requests.map(({ selection }) => weightsOf(selection));
  const groups = new Map<string, number[]>();
  for (const [i, choice] of choices.entries()) {
    const key = choice.join(',');
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  if (groups.size > 1 && adapters.every(servesRows)) {
    await generator.offerAdapters(adapters);
    return generator.generate(
      requests.map(({ prompt }) => prompt),
      { ...options, choices },
      onToken,
    );
  }
  const results: Continuation[] = [];
  for (const members of groups.values()) {
    await generator.setAdapters(adapters, choices[members[0]!]!);
    const continued = await generator.generate(
      members.map((i) => requests[i]!.prompt),
      options,
      onToken && ((k, id, logits) => onToken(members[k]!, id, logits)),
    );
    continued.forEach((continuation, k) => {
      results[members[k]!] = continuation;
    });
  }
  return results;
}
