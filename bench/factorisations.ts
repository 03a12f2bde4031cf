// One decomposition of one weight: time, error and memory. Bundled and started by bench/factorisations.mjs, once for each row of
// its table; prints a line of JSON. The weight's singular values are known, since it is made from them.
import { initialisationOf } from '../src/engine/adapters/initialisations/registry';
import type { AdapterSettings } from '../src/engine/adapters/settings';
import type { Site } from '../src/engine/adapters/variant';
import { leadingDirections } from '../src/engine/linalg/leadingDirections';
import { frobenius, type Matrix, matrix, rounded, transposed } from '../src/engine/linalg/matrix';
import { Products } from '../src/engine/linalg/products';
import { packWeight, unpackWeight, usualFormat } from '../src/engine/quantization/packedWeight';
import { Random } from '../src/engine/random';
import { openRuntime } from '../src/engine/session';

interface Case {
  method: string;
  rows: number;
  columns: number;
  rank: number;
  spectrum: keyof typeof spectra;
}

/** σ by its place among them, 0 to 1. None has a gap. */
const spectra = {
  /** Outliers up to 20 times the bulk, which ends at a fifth: as matrices far from square. */
  bulk: (share: number) => (share < 0.02 ? 1 + 19 * (1 - share / 0.02) ** 2 : 1 - 0.8 * share),
  /** A power law that ends in a straight line to 1e-5 of the largest: as square ones. */
  tail: (share: number) => (1 - share) / (1 + 30 * share) + 1e-5,
};

/** An orthogonal transform of the rows of x, from signs, Hadamard matrices of the largest power of two, and permutations. */
function mixRows(x: Matrix, random: Random): void {
  const { rows, columns: n, data } = x;
  let power = 1;
  while (n % (2 * power) === 0) power *= 2;
  const row = new Float64Array(n);
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const signs = Float64Array.from({ length: n }, () => (random.uniform() < 0.5 ? -1 : 1));
  for (let i = 0; i < rows; i++) {
    row.set(data.subarray(i * n, (i + 1) * n));
    for (let round = 0; round < 3; round++) {
      const given = row.slice();
      for (let j = 0; j < n; j++) row[j] = signs[j]! * given[order[j]!]!;
      for (let from = 0; from < n; from += power) {
        for (let step = 1; step < power; step *= 2) {
          for (let block = from; block < from + power; block += 2 * step) {
            for (let j = block; j < block + step; j++) {
              const [p, q] = [row[j]!, row[j + step]!];
              row[j] = (p + q) * Math.SQRT1_2;
              row[j + step] = (p - q) * Math.SQRT1_2;
            }
          }
        }
      }
    }
    data.set(row, i * n);
  }
}

function weightWith(rows: number, columns: number, sigma: Float64Array): Matrix {
  const random = new Random(3, 'weight');
  const diagonal = matrix(rows, columns);
  for (let i = 0; i < sigma.length; i++) diagonal.data[i * columns + i] = sigma[i]!;
  mixRows(diagonal, random);
  const turned = transposed(diagonal);
  mixRows(turned, random);
  return transposed(turned);
}

const energy = (sigma: Float64Array): number => sigma.reduce((sum, x) => sum + x * x, 0);

async function main(): Promise<void> {
  const { method, rows, columns, rank, spectrum } = JSON.parse(process.argv[2]!) as Case;
  const threads = Number(process.argv[3] ?? 2);
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads, spinning: false });
  const products = new Products(runtime);
  const size = Math.min(rows, columns);
  const sigma = Float64Array.from({ length: size }, (_, i) => spectra[spectrum](i / (size - 1)));
  const weight = weightWith(rows, columns, sigma);
  const covariance = method.startsWith('corda') ? await inputs(products, columns) : undefined;
  const before = process.memoryUsage.rss();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const run = method.startsWith('galore') ? await galore() : await initialisation();
  const seconds = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
  const peak = process.resourceUsage().maxRSS * 1024;
  const result = { method, rows, columns, rank, spectrum, seconds, before, peak, ...(await run()) };
  console.log(JSON.stringify({ ...result, cpuSeconds: (used.user + used.system) / 1e6 }));
  products.release();
  await runtime.close();

  async function galore(): Promise<() => Promise<Record<string, unknown>>> {
    const gradient = runtime.fromHost('float32', [rows * columns], weight.data);
    const side = rows <= columns ? 'left' : 'right';
    const found = await leadingDirections(runtime, {
      gradient,
      rows,
      columns,
      side,
      rank,
      start: undefined,
      seed: 1,
      key: 'bench',
    });
    return async () => {
      const image = await products.multiply(
        found!,
        weight,
        side === 'left' ? { transA: true } : { transB: true },
      );
      return { measure: 'share', value: frobenius(image) ** 2 / energy(sigma.slice(0, rank)) };
    };
  }

  async function initialisation(): Promise<() => Promise<Record<string, unknown>>> {
    const [id, variant] = method.split(' ');
    const init = initialisationOf(id!);
    const settings = {
      init_lora_weights: id,
      settings: variant ? { corda_method: variant } : {},
    } as unknown as AdapterSettings;
    const site = {
      path: 'bench',
      r: rank,
      inFeatures: columns,
      outFeatures: rows,
      module: { kind: 'linear' },
    } as unknown as Site;
    const context = { products, site, scaling: 1, weight, seed: 1, settings };
    const start = await init.fromBase!.start({ ...context, ...(covariance ? { covariance } : {}) });
    return async () => {
      const [a, b] = [matrix(rank, columns, start.a), matrix(rows, rank, start.b)];
      const part = await products.multiply(b, a);
      const { method: by, rounds } = start.report!;
      const rest = { by, rounds };
      if (id === 'loftq') {
        const quantised = unpackWeight(
          packWeight(weight.data, {
            ...usualFormat,
            outFeatures: rows,
            inFeatures: columns,
            transposed: false,
          }),
        );
        const error = matrix(
          rows,
          columns,
          weight.data.map((w, i) => w - quantised[i]!),
        );
        const left = error.data.map((e, i) => e - part.data[i]!);
        return { ...rest, measure: 'left', value: frobenius({ data: left }) / frobenius(error) };
      }
      if (id === 'olora') {
        const columnsOf = (m: Matrix) =>
          Float32Array.from(
            { length: rows * rank },
            (_, i) => m.data[Math.floor(i / rank) * columns + (i % rank)]!,
          );
        const [own, given] = [columnsOf(part), columnsOf(weight)];
        return {
          ...rest,
          measure: 'error',
          value: frobenius({ data: own.map((x, i) => x - given[i]!) }) / frobenius({ data: given }),
        };
      }
      if (covariance) return { ...rest, measure: 'taken', value: frobenius(part) / frobenius(weight) };
      const best = energy(id === 'milora' ? sigma.slice(-rank) : sigma.slice(0, rank));
      return { ...rest, measure: 'share', value: frobenius(part) ** 2 / best };
    };
  }
}

/** Covariance of inputs with a few strong directions, as activations have them. */
async function inputs(products: Products, n: number): Promise<Matrix> {
  const random = new Random(4, 'inputs');
  const x = matrix(Math.min(2 * n, 8192), n);
  for (let i = 0; i < x.data.length; i++) x.data[i] = random.uniform() - 0.5;
  for (let i = 0; i < x.rows; i++) for (let j = 0; j < 8; j++) x.data[i * n + ((j * 131) % n)]! *= 30;
  return rounded(await products.gram(x, true));
}

void main();
