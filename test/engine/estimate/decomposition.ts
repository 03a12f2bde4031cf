// A process of its own for estimate.test.ts: by how many bytes the smallest directions of a weight make it grow at most.

import { decompositionBytes } from '../../../src/engine/linalg/decompositionMemory';
import { matrix } from '../../../src/engine/linalg/matrix';
import { Products } from '../../../src/engine/linalg/products';
import { exactSvd } from '../../../src/engine/linalg/svd';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';

async function main(): Promise<void> {
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  const products = new Products(runtime);
  const random = new Random(1, 'weight');
  const weight = matrix(1280, 2048);
  for (let i = 0; i < weight.data.length; i++) weight.data[i] = random.normal();
  // What the first use of the runtime takes.
  await exactSvd(products, matrix(300, 400, weight.data.slice(0, 120000)), 4, 'bottom', 1);
  const before = process.resourceUsage().maxRSS;
  await exactSvd(products, weight, 8, 'bottom', 1);
  const grown = 1024 * (process.resourceUsage().maxRSS - before);
  console.log(JSON.stringify({ grown, counted: decompositionBytes(1280, 2048) }));
  products.release();
  await runtime.close();
}

void main();
