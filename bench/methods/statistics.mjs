// Small statistics over seeds.

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Sample standard deviation; 0 for one value. */
export function deviation(values) {
  if (values.length < 2) return 0;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** `1.234 ± 0.005`: mean and sample standard deviation over the seeds. */
export const spread = (values, digits = 3) =>
  `${mean(values).toFixed(digits)} ± ${deviation(values).toFixed(digits)}`;

/** Element by element over runs of equal length. */
export const meanCurve = (curves) => curves[0].map((_, index) => mean(curves.map((curve) => curve[index])));

/** Mean over a window that ends at each point. */
export function smoothed(curve, window) {
  return curve.map((_, index) => mean(curve.slice(Math.max(0, index - window + 1), index + 1)));
}

/** First step, counted from 1, at which the smoothed loss is at most `target`; null if never. */
export function stepsTo(curve, target, window = 5) {
  const index = smoothed(curve, window).findIndex((loss, at) => at + 1 >= window && loss <= target);
  return index < 0 ? null : index + 1;
}

/**
 * Whether a is below b by more than chance would explain: the difference of the means is larger than twice its standard error
 * (seeds taken as independent).
 */
export function clearlyBelow(a, b) {
  const error = Math.sqrt(deviation(a) ** 2 / a.length + deviation(b) ** 2 / b.length);
  return mean(b) - mean(a) > 2 * error;
}

/**
 * The runs of all seeds at the best of several settings, chosen by the first seed alone: `run(setting, seed)` trains, `score`
 * is lower for better.
 */
export function atBest(settings, seeds, run, score) {
  const [first, ...others] = seeds;
  const tried = settings.map((setting) => ({ setting, run: run(setting, first) }));
  const best = tried.reduce((a, b) => (score(b.run) < score(a.run) ? b : a));
  return { setting: best.setting, runs: [best.run, ...others.map((seed) => run(best.setting, seed))] };
}

/** Training losses by step for svgPlot: each series is the mean of runs' losses, smoothed over `window` steps. */
export const lossPlot = (series, window = 10) => ({
  x: 'step',
  y: `training loss (mean of ${window} steps)`,
  logY: true,
  series: series.map(({ label, curve }) => ({
    label,
    points: smoothed(curve, window)
      .map((loss, at) => [at + 1, loss])
      .slice(window - 1),
  })),
});
