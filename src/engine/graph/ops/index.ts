// The operator table, put together from its families. A new operator is one row in one of them.
import { attentionOps } from './attention';
import type { OpDefinition } from './definition';
import { elementwiseOps } from './elementwise';
import { layoutOps } from './layout';
import { matmulOps } from './matmul';
import { neuralOps } from './neural';
import { packedOps } from './packed';
import { reduceOps } from './reduce';

const table = {
  ...elementwiseOps,
  ...matmulOps,
  ...layoutOps,
  ...reduceOps,
  ...neuralOps,
  ...attentionOps,
  ...packedOps,
};

export type OpName = keyof typeof table;

/** The attributes that an operator takes. */
export type AttributesOf<O extends OpName> = (typeof table)[O] extends OpDefinition<infer A> ? A : never;

export const ops: { readonly [O in OpName]: OpDefinition<AttributesOf<O>> } = table as never;

/** The row of an operator, with its attribute types forgotten. */
export function opDefinition(op: OpName): OpDefinition {
  return ops[op] as unknown as OpDefinition;
}
