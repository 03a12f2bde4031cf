// What an initialisation says of itself: start values from the seed alone, or from the base weights (and training data),
// which it may then change. An initialisation is one file; shared code never asks which one it has before it.
import type { JsonObject } from '../../files/json';
import type { Matrix } from '../../linalg/matrix';
import type { Products } from '../../linalg/products';
import type { SvdReport } from '../../linalg/svd';
import type { PackedForm, PackedWeight } from '../../quantization/packedWeight';
import type { Random } from '../../random';
import type { CatalogueEntry } from '../../recipe/catalogue';
import type { AdapterSettings } from '../settings';
import type { Site } from '../variant';

/** Start values of LoRA's A and B, by the names of PEFT's init_lora_weights. */
export interface Initialisation {
  entry: CatalogueEntry;
  /**
   * Start values of one adapted linear module: a [r, in], b [out, r]. With `fromBase` they are what modules get that
   * have no weight matrix to start from.
   */
  factors(
    random: Random,
    r: number,
    inFeatures: number,
    outFeatures: number,
  ): { a: Float32Array; b: Float32Array };
  fromBase?: StartFromBase;
  /** Its keys of adapter_config.json, where PEFT keeps its settings. */
  peft?: {
    write(settings: AdapterSettings['settings']): Readonly<Record<string, unknown>>;
    read(config: JsonObject): AdapterSettings['settings'];
  };
}

/** An initialisation that reads the base weights. */
export interface StartFromBase {
  /**
   * What becomes of the base: `residual` is W − s·B0·A0, `replaced` is whatever `start` returns, `kept` is W. A residual
   * run is saved as a LoRA of the original base (convert.ts).
   */
  base: 'kept' | 'residual' | 'replaced';
  /** PEFT can compute the start again from the file's config alone, so that the raw form is a choice. */
  repeatable?: true;
  /** What is gathered from the training data first. */
  calibration?: 'covariance' | 'components';
  start(context: StartContext): Promise<SiteStart>;
}

/** One linear module, as its start sees it. */
export interface StartContext {
  products: Products;
  site: Site;
  /** s: what the forward pass multiplies B·A by. */
  scaling: number;
  /** [out, in] in fp32, whatever the checkpoint's layout; never quantised by the run. */
  weight: Matrix;
  /** Where the run holds the base in four bits: how. What a residual start leaves is quantised so. */
  packed?: PackedForm;
  /** Of this module. */
  seed: number;
  settings: AdapterSettings;
  /** Mean of X̂ᵀX̂ over the samples, [in, in]; for `covariance`. */
  covariance?: Matrix;
  /** Principal directions of the module's input, [≥ r, in]; for `components`. */
  components?: Matrix;
}

export interface SiteStart {
  /** [r, in] */
  a: Float32Array;
  /** [out, r] */
  b: Float32Array;
  /** The base from now on; for `replaced`. */
  packed?: PackedWeight;
  report?: SvdReport;
}
