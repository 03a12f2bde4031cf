// Products on a runtime, with the processor beside it for what the device lacks. Apart from products.ts, which loads no native code.
import { openRuntime, type Runtime } from '../session';
import { Products } from './products';

/** The caller releases them. */
export function productsOn(runtime: Runtime): Products {
  return new Products(runtime, () => openRuntime({ device: { kind: 'cpu' } }));
}
