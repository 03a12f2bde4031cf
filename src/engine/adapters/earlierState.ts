// What engine_state.json keeps of earlier tasks: names, ranks and scalings by module; their tensors lie in the file. Comes in
// and goes out: JSON, read as a stranger's.
import type { Problem } from '../../protocol/errors';
import { AdapterError, raiseProblems } from '../errors';
import { isJsonObject, type JsonObject } from '../files/json';
import type { EarlierPair, EarlierTask } from './variant';

const mostTasks = 1000;
const mostRank = 65536;

/** Empty where there are no earlier tasks. */
export function stateOfEarlier(tasks: readonly EarlierTask[]): JsonObject {
  if (tasks.length === 0) return {};
  return {
    earlier: tasks.map(({ name, modules }) => ({
      name: shownTask(name),
      modules: Object.fromEntries(
        [...modules].map(([path, { rank, scaling }]) => [path, { rank, scaling }] as const),
      ),
    })),
  };
}

/** A task's folder without what is told of the machine: the last two names of its path. */
const shownTask = (folder: string): string => folder.split(/[\\/]/).slice(-2).join('/');

/** The way back, without values. Throws one AdapterError with everything that is wrong. */
export function earlierOfState({ earlier }: JsonObject, where: string): EarlierTask[] {
  if (earlier === undefined || earlier === null) return [];
  const problems: Problem[] = [];
  const wrong = (at: string, message: string): void => {
    problems.push({ where: `${where}, earlier${at}`, message, remedy: 'Save the adapter again.' });
  };
  const tasks: EarlierTask[] = [];
  if (!Array.isArray(earlier) || earlier.length > mostTasks)
    wrong('', `is no list of at most ${mostTasks} tasks`);
  else {
    earlier.forEach((task: unknown, i) => {
      if (!isJsonObject(task) || typeof task.name !== 'string' || !isJsonObject(task.modules)) {
        wrong(`[${i}]`, 'has no name and modules');
        return;
      }
      const modules = new Map<string, EarlierPair>();
      for (const [path, pair] of Object.entries(task.modules)) {
        const { rank, scaling } = isJsonObject(pair) ? pair : {};
        if (
          Number.isSafeInteger(rank) &&
          (rank as number) > 0 &&
          (rank as number) <= mostRank &&
          Number.isFinite(scaling)
        ) {
          modules.set(path, { rank: rank as number, scaling: scaling as number });
        } else wrong(`[${i}].${path.slice(0, 200)}`, `needs a rank of 1 to ${mostRank} and a finite scaling`);
      }
      tasks.push({ name: task.name.slice(0, 4096), modules });
    });
  }
  raiseProblems(AdapterError, 'adapter-state-invalid', `${where} has values that cannot be used:`, problems);
  return tasks;
}
