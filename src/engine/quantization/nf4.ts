// The signed dynamic code under the name that the 8-bit optimizers ask for.
import { dynamicCodes as codes } from './codes';

export function dynamicCodes(): Float32Array {
  return codes.slice();
}
