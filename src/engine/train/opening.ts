// What a run says before its first step: the facts of its plan, and everything that a person should know at once.
import type { Recipe } from '../../protocol/recipe';
import type { PlanFacts, RunEventBody } from '../../protocol/run';
import type { AdapterPlan } from '../adapters/plan';
import { baseTensors } from '../checkpoint/baseTensors';
import { elements } from '../dtype';
import type { DeviceContext } from '../estimate/deviceContext';
import { forecast, withContext } from '../estimate/forecast';
import { chooseDevice } from '../execution/deviceName';
import { pagingFor, stateMemory } from '../execution/paging';
import type { Precision } from '../graph/precision';
import { modelTensors } from '../models/architecture';
import { optimizerOf, slabsFor } from '../optim/registry';
import type { Calendar } from './calendar';
import type { Inputs } from './inputs';
import { preparationNote } from './preparation';

export function planFacts(
  recipe: Recipe,
  { plan, model, data, checkpoint }: Inputs,
  precision: Precision,
  calendar: Pick<Calendar, 'totalSteps' | 'stepsPerEpoch'>,
  /** Null where the device is none of CUDA's. */
  context: DeviceContext | null,
): PlanFacts {
  const { packed } = baseTensors(checkpoint, model);
  return {
    modelType: model.modelType,
    device: precision.device,
    dtype: precision.compute,
    adapter: recipe.adapter,
    trainableParameters: trainableParameters(plan),
    totalParameters: modelTensors(model).reduce((sum, tensor) => sum + elements(tensor.shape), 0),
    adaptedModules: plan.sites.size,
    trainExamples: data.train.length,
    evalExamples: data.eval.length,
    trainedTokensPerEpoch: data.report.trainedTokens,
    totalSteps: calendar.totalSteps,
    stepsPerEpoch: calendar.stepsPerEpoch,
    effectiveBatchSize: recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps,
    predictedPeakBytes: withContext(forecast(model, recipe, plan, precision, packed), context).deviceBytes,
  };
}

/** Notes and warnings: of the data, of settings that match nothing, of what the caller found. */
export function openingRemarks(
  recipe: Recipe,
  { plan, model, data, notes: ofInputs }: Inputs,
  notes: readonly string[],
  warnings: readonly string[],
): RunEventBody[] {
  const { max_length: wanted } = recipe;
  const shortened =
    wanted > model.maxPositions
      ? [
          `max_length ${wanted} is more than the model's ${model.maxPositions} positions; ${model.maxPositions} is used.`,
        ]
      : [];
  const preparation = preparationNote(plan);
  return [
    ...[
      ...notes,
      ...ofInputs,
      ...data.report.notes,
      ...shortened,
      ...(preparation ? [preparation] : []),
      ...pagingNotes(recipe, plan),
    ].map((message) => ({
      type: 'note' as const,
      message,
    })),
    ...warnings.map((message) => ({ type: 'warning' as const, message })),
    ...plan.unmatched.map(({ setting, entry, nearest }) => ({
      type: 'warning' as const,
      message: `${setting}: ${entry} matches no module of this model.`,
      ...(nearest.length > 0 ? { remedy: `Write ${nearest.join(' or ')}.` } : {}),
    })),
  ];
}

/** Where the state of a paged optimizer lies. */
function pagingNotes(recipe: Recipe, plan: AdapterPlan): string[] {
  if (!optimizerOf(recipe.optim).paged) return [];
  const paging = pagingFor(recipe, chooseDevice(recipe.device).kind, recipe.output_dir);
  const { device, elsewhere } = stateMemory(slabsFor(plan.tensors, recipe), recipe, paging);
  const size = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  if (paging.place === 'device')
    return [
      `optim: ${recipe.optim} saves nothing on the CPU, whose memory holds the state either way; spill_optimizer_state: true puts it into a file.`,
    ];
  const place = paging.place === 'file' ? "a file in the run's folder" : 'host memory';
  return [`${size(elsewhere)} of optimizer state lie in ${place}, ${size(device)} on the device.`];
}

export function trainableParameters(plan: AdapterPlan): number {
  return plan.tensors.reduce((sum, tensor) => sum + (tensor.frozen ? 0 : elements(tensor.shape)), 0);
}
