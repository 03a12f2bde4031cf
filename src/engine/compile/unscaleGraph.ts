// Compiles what float16 runs do between the gradients and the update: accumulated gradients, which are those of a multiple of
// the loss, become those of the loss, in place.
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import { verifyInPlace } from '../graph/verify';
import type { Slab } from './slabs';

/**
 * Inputs: `<slab>.gradient`, `inverse_loss_scale` []. Outputs: `<slab>.gradient.next`, and `squares` [], the sum of the
 * squares of all gradients: no finite number where one of them is none.
 */
export function unscaleGraph(all: readonly Slab[]): Graph {
  const b = new GraphBuilder('unscale');
  const slabs = all.filter((slab) => !slab.frozen);
  const inverse = b.input('inverse_loss_scale', 'float32', []);
  const outputs = slabs.map(({ name, length }) => ({
    name: `${name}.gradient.next`,
    value: b.mul(b.input(`${name}.gradient`, 'float32', [length]), inverse),
  }));
  const squares = outputs
    .map(({ value }): Value => b.op('ReduceSumSquare', [value], { axes: [0], keepdims: 0 }))
    .reduce((sum, square) => b.add(sum, square));
  const graph = finish(b.finish([{ name: 'squares', value: squares }, ...outputs]));
  verifyInPlace(
    graph,
    slabs.map(({ name }) => ({ input: `${name}.gradient`, output: `${name}.gradient.next` })),
  );
  return graph;
}
