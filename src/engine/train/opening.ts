// What a run says before its first step: the facts of its plan, and everything that a person should know at once.
import type { Recipe } from '../../protocol/recipe';
import type { PlanFacts, RunEventBody } from '../../protocol/run';
import type { AdapterPlan } from '../adapters/plan';
import { elements } from '../dtype';
import { forecast } from '../estimate/forecast';
import type { Precision } from '../graph/precision';
import { modelTensors } from '../models/architecture';
import type { Calendar } from './calendar';
import type { Inputs } from './inputs';

export function planFacts(
  recipe: Recipe,
  { plan, model, data }: Inputs,
  precision: Precision,
  calendar: Pick<Calendar, 'totalSteps' | 'stepsPerEpoch'>,
): PlanFacts {
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
    predictedPeakBytes: forecast(model, recipe, plan, precision).totalBytes,
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
  const phase = plan.variant.preparation?.phase(plan.settings);
  const upperBound = phase
    ? [
        `The first ${phase.steps} steps choose between modules, on ${100 * phase.sampleRatio} % of the data; until then the number of parameters and the forecast are upper bounds.`,
      ]
    : [];
  return [
    ...[...notes, ...ofInputs, ...data.report.notes, ...shortened, ...upperBound].map((message) => ({
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

export function trainableParameters(plan: AdapterPlan): number {
  return plan.tensors.reduce((sum, tensor) => sum + (tensor.frozen ? 0 : elements(tensor.shape)), 0);
}
