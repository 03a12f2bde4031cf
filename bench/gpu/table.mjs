// The results of bench/gpu.mjs as text: what was correct, then tokens per second, memory and utilisation of both sides.

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const whole = (number) => (Number.isFinite(number) ? Math.round(number).toLocaleString('en-US') : '–');
const line = (cells) => `| ${cells.join(' | ')} |`;
const table = (columns, rows) =>
  [line(columns), line(columns.map((_, i) => (i ? '--:' : '---'))), ...rows.map(line)].join('\n');

/**
 * Floating-point operations of one LoRA training token: forward and input gradients of every frozen product (4 per weight),
 * causal attention forward and backward. Adapters and recomputation are left out: they are what a program adds.
 */
export function flopsPerToken(config, length) {
  const { hidden_size: width, intermediate_size: inner, num_hidden_layers: layers } = config;
  const head = config.head_dim ?? width / config.num_attention_heads;
  const queries = config.num_attention_heads * head;
  const values = config.num_key_value_heads * head;
  const weights =
    layers * (width * (2 * queries + 2 * values) + 3 * width * inner) + width * config.vocab_size;
  return 4 * weights + layers * 6 * length * queries;
}

export function gpuTable(results, { rowsOnly = false } = {}) {
  const sections = [];
  if (!rowsOnly) {
    const { environment, ceilings } = results;
    if (environment)
      sections.push(
        `${environment.gpu ?? 'no GPU'}; torch ${environment.torch ?? 'absent'}; ${environment.date}`,
      );
    const contracts = Object.entries(results.contracts ?? {});
    if (contracts.length) {
      sections.push(
        table(
          ['contract tests', 'passed', 'failed', 'skipped'],
          contracts.map(([file, one]) => [file, one.passed, one.failed, one.skipped]),
        ),
      );
      for (const [file, one] of contracts)
        for (const name of one.failures) sections.push(`FAILED ${file}: ${name}`);
    }
    if (ceilings?.productFlopsPerSecond) {
      sections.push(
        `Ceilings: ${ceilings.dtype} product ${(ceilings.productFlopsPerSecond / 1e12).toFixed(1)} TFLOP/s, copy ${(ceilings.copyBytesPerSecond / 1e9).toFixed(0)} GB/s (read and written)`,
      );
    } else if (ceilings?.error) sections.push(`Ceilings failed: ${ceilings.error}`);
  }
  const rows = Object.values(results.speed ?? {}).flatMap((row) =>
    caseRows(row, results.ceilings?.productFlopsPerSecond),
  );
  if (rows.length) {
    sections.push(
      table(
        [
          'case',
          'side',
          'tokens/s',
          'against the best PEFT',
          'peak MiB',
          'against the least PEFT',
          'forecast MiB',
          'of product rate',
          'GPU busy',
          'waits a step',
        ],
        rows,
      ),
    );
  }
  return sections.join('\n\n');
}

function caseRows({ name, method, batch, length, config, sides, forecastBytes }, ceiling) {
  const speedOf = (side) =>
    side.stepSeconds?.length ? (batch * length) / median(side.stepSeconds) : Number.NaN;
  const theirs = Object.entries(sides).filter(
    ([side, one]) => side.startsWith('PEFT') && one.stepSeconds?.length,
  );
  // The strictest comparison: their fastest setting for speed, their leanest for memory.
  const fastest = Math.max(...theirs.map(([, one]) => speedOf(one)));
  const leanest = Math.min(...theirs.map(([, one]) => one.peakMiB));
  return Object.entries(sides).map(([side, one]) => {
    if (one.error)
      return [
        `${name} ${method} ${batch}×${length}`,
        side,
        `failed: ${reason(one.error)}`,
        ...Array(7).fill('–'),
      ];
    const speed = speedOf(one);
    const ours = side.startsWith('ours');
    const share = ceiling ? (speed * flopsPerToken(config, length)) / ceiling : Number.NaN;
    const busy = one.utilization.filter((value) => value !== null);
    return [
      `${name} ${method} ${batch}×${length}`,
      side,
      whole(speed),
      ours && theirs.length ? `${(speed / fastest).toFixed(2)}×` : '–',
      whole(one.peakMiB),
      ours && theirs.length ? `${(one.peakMiB / leanest).toFixed(2)}×` : '–',
      ours && forecastBytes ? whole(forecastBytes / 2 ** 20) : '–',
      Number.isFinite(share) ? `${(share * 100).toFixed(0)} %` : '–',
      busy.length ? `${Math.round(busy.reduce((sum, value) => sum + value, 0) / busy.length)} %` : '–',
      one.hostWaits === undefined ? '–' : String(one.hostWaits),
    ];
  });
}

/** Ours begins with the reason; Python's traceback ends with it. */
function reason(error) {
  const lines = error.trim().split('\n');
  return (error.startsWith('Traceback') ? lines.at(-1) : lines[0]).slice(0, 160);
}
