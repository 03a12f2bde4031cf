// Loads the sample scripts as the programs that they are; they are not bundled into the tests. In: a file name under samples/.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Story {
  plot: string;
  facts: Record<string, string>;
  sentences: string[];
  opening: string;
  text: string;
  moral: string;
  questions: { question: string; answer: string }[];
}

export interface CorpusModule {
  makeStories(count: number, seed: number): Story[];
  makeCorpus(
    count: number,
    seed: number,
  ): {
    stories: { text: string }[];
    chats: { messages: { role: string; content: string }[] }[];
    songs: { text: string }[];
  };
  countWords(text: string): number;
}

export interface TokenizerModule {
  specialTokens: string[];
  vocabularySize: number;
  learnMerges(texts: string[], count: number): [string, string][];
}

export interface CheckpointModule {
  modelConfig: Record<string, number>;
  tensorShapes(config: Record<string, number>): [string, number[]][];
  randomWeights(config: Record<string, number>, seed: number): Buffer;
}

export interface SampleFilesModule {
  committedFiles(): Record<string, string>;
  pretrainingFiles(): Record<string, string>;
}

export const samples = join(process.cwd(), 'samples');

export async function load<Module>(file: string): Promise<Module> {
  return (await import(pathToFileURL(join(samples, file)).href)) as Module;
}
