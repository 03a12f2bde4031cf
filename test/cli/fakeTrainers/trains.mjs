// Speaks the trainer's protocol without an engine: steps until it is asked to stop, or eight steps; FAKE_ENDLESS never ends
// and ignores being asked.
const time = new Date(0).toISOString();
const result = (params, steps) => ({
  run: params.recipe.output_dir,
  adapter: `${params.recipe.output_dir}/adapter`,
  steps,
  loss: 1.25,
  evalLoss: null,
  trainableParameters: 10,
  tokensPerSecond: 100,
  peakMemoryBytes: 2 ** 20,
});
let asked = false;
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message.kind === 'control') {
    asked = true;
    if (process.env.FAKE_ENDLESS)
      process.send({ kind: 'event', id: 1, event: { type: 'note', message: 'asked', time } });
    return;
  }
  const { id, method, params } = message;
  if (method === 'generate') {
    const completions = params.prompts.map((prompt) => ({
      prompt,
      text: ' a tale\x1b[31m',
      tokens: 3,
      finishReason: 'stop',
    }));
    for (const [prompt, { text }] of completions.entries())
      process.send({ kind: 'event', id, event: { type: 'token', prompt, text } });
    process.send({ kind: 'result', id, result: { completions } });
    return;
  }
  if (method !== 'train') {
    process.send({
      kind: 'error',
      id,
      error: {
        code: 'internal-error',
        message: 'broken rule',
        remedy: 'Please report this.',
        facts: { stack: 'at x' },
      },
    });
    return;
  }
  const plan = {
    modelType: 'llama',
    device: 'cpu',
    dtype: 'float32',
    adapter: params.recipe.adapter,
    trainableParameters: 10,
    totalParameters: 100,
    adaptedModules: 2,
    trainExamples: 5,
    evalExamples: 0,
    trainedTokensPerEpoch: 50,
    totalSteps: 8,
    stepsPerEpoch: 8,
    effectiveBatchSize: 1,
    predictedPeakBytes: null,
  };
  const emit = (event) => process.send({ kind: 'event', id, event: { ...event, time } });
  emit({
    type: 'run-started',
    run: params.recipe.output_dir,
    pid: process.pid,
    plan,
    resumedFromStep: params.recipe.resume_from_checkpoint ? 3 : null,
  });
  const wait = process.env.FAKE_WAITS !== undefined || process.env.FAKE_ENDLESS !== undefined;
  let step = 0;
  const next = () => {
    if (asked && !process.env.FAKE_ENDLESS) {
      emit({
        type: 'stopped',
        step,
        checkpoint: `${params.recipe.output_dir}/checkpoints/step-${step}`,
        result: null,
      });
      process.send({ kind: 'result', id, result: result(params, step) });
      return;
    }
    if (step === 8 && !wait) {
      process.send({ kind: 'result', id, result: result(params, step) });
      return;
    }
    step = Math.min(8, step + 1);
    emit({
      type: 'step',
      step,
      epoch: step / 8,
      loss: 2 - step / 10,
      learningRate: 1e-4,
      gradNorm: 1,
      tokens: 9,
      tokensPerSecond: 100,
      peakMemoryBytes: 2 ** 20,
      etaSeconds: 8 - step,
    });
    setTimeout(next, wait ? 20 : 0);
  };
  next();
});
