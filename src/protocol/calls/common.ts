// What several calls have in common: the device they compute on, a base in four bits, the adapters on top of it.

/** Where and with how many threads a call computes. */
export interface DeviceParams {
  /** `auto`, `cpu`, `cuda`, `cuda:1`, `webgpu`. */
  device: string;
  /** 0 lets the runtime choose. */
  threads: number;
}

/** A base that is held in 4 bits, as the recipe's settings of the same names say. */
export interface FourBitParams {
  /** Undefined or false: as in the checkpoint. */
  loadIn4bit?: boolean;
  quantType?: 'nf4' | 'fp4';
  doubleQuant?: boolean;
}

/** An adapter with a factor on its update; a path alone has the factor 1. */
export type AdapterChoice = string | WeightedAdapter;

export interface WeightedAdapter {
  folder: string;
  /** 0 leaves the adapter out. Whole tensors of an adapter (modules_to_save, biases) act as they are, as in PEFT. */
  weight: number;
}
