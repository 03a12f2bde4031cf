// Gradients of operators on weights in four bits: the base is frozen, so that none flows into it; products with it have the
// gradients of ordinary products.
import { defineGradients } from './rule';

export const packedGradients = defineGradients({
  DequantizeSizes: { stop: 'a frozen weight’s block sizes' },
  DequantizeWeight: { stop: 'a frozen weight' },
  MatMulBnb4: { stop: 'written by lowering, after differentiation' },
});
