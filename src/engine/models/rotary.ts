// Rotary position embeddings: inverse frequencies and cos/sin caches for every scaling that config.json can name
// (transformers' modeling_rope_utils: default, linear, dynamic, llama3, yarn). Arithmetic is rounded to fp32 step by step
// as PyTorch does it, so that caches agree to the last bits.
import type { ConfigReader } from './config';

const f32 = Math.fround;

/** Rotary embedding of one model: caches for a number of positions. */
export interface Rotary {
  /** Changes with the sequence length (dynamic NTK). */
  lengthDependent: boolean;
  /** cos and sin [positions, Dh/2], scaled by the attention factor. */
  caches(positions: number): { cos: Float32Array; sin: Float32Array };
}

interface RotarySettings {
  headSize: number;
  maxPositions: number;
}

const types = ['default', 'linear', 'dynamic', 'llama3', 'yarn'] as const;
type RotaryType = (typeof types)[number];

/** Reads `rope_theta` with `rope_scaling` (older files) or `rope_parameters` (newer ones). */
export function readRotary(config: ConfigReader, settings: RotarySettings, defaultTheta = 10000): Rotary {
  const section = config.section('rope_parameters') ?? config.section('rope_scaling') ?? {};
  const theta = numberIn(section, 'rope_theta') ?? config.number('rope_theta', defaultTheta);
  const declared = section.rope_type ?? section.type ?? 'default';
  const type = types.find((t) => t === declared);
  if (!type) {
    config.problem('rope_scaling.rope_type', `one of ${types.join(', ')}`, declared);
    return rotary('default', theta, {}, settings);
  }
  config.check(theta > 0, 'rope_theta', `expected a number above 0, found ${theta}`);
  for (const key of neededKeys[type]) {
    if (!((numberIn(section, key) ?? 0) > 0))
      config.problem(`rope_scaling.${key}`, 'a number above 0', section[key]);
  }
  return rotary(type, theta, section, settings);
}

const neededKeys: Record<RotaryType, readonly string[]> = {
  default: [],
  linear: ['factor'],
  dynamic: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'],
  yarn: [],
};

function rotary(
  type: RotaryType,
  theta: number,
  section: Record<string, unknown>,
  settings: RotarySettings,
): Rotary {
  const get = (key: string, fallback: number): number => numberIn(section, key) ?? fallback;
  const plain = (base: number): Float32Array => inverseFrequencies(base, settings.headSize);
  switch (type) {
    case 'linear': {
      const factor = get('factor', 1);
      return fixed(plain(theta).map((f) => f / factor));
    }
    case 'dynamic': {
      const factor = get('factor', 1);
      return {
        lengthDependent: true,
        caches: (positions) => {
          const length = Math.max(positions, settings.maxPositions);
          const growth = (factor * length) / settings.maxPositions - (factor - 1);
          const base = theta * growth ** (settings.headSize / (settings.headSize - 2));
          return cachesOf(plain(base), positions, 1);
        },
      };
    }
    case 'llama3':
      return fixed(
        llama3Frequencies(
          plain(theta),
          get('factor', 1),
          get('low_freq_factor', 1),
          get('high_freq_factor', 4),
          get('original_max_position_embeddings', settings.maxPositions),
        ),
      );
    case 'yarn':
      return yarn(theta, section, settings);
    default:
      return fixed(plain(theta));
  }
}

function fixed(frequencies: Float32Array, attentionFactor = 1): Rotary {
  return { lengthDependent: false, caches: (positions) => cachesOf(frequencies, positions, attentionFactor) };
}

/** θ^(−2i/Dh), i = 0 … Dh/2−1. */
function inverseFrequencies(theta: number, headSize: number): Float32Array {
  return Float32Array.from({ length: headSize / 2 }, (_, i) =>
    f32(1 / f32(theta ** f32((2 * i) / headSize))),
  );
}

function cachesOf(frequencies: Float32Array, positions: number, factor: number) {
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = f32(p * frequencies[i]!);
      cos[p * half + i] = f32(Math.cos(angle)) * factor;
      sin[p * half + i] = f32(Math.sin(angle)) * factor;
    }
  }
  return { cos, sin };
}

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones stay, those between are blended. */
function llama3Frequencies(
  plain: Float32Array,
  factor: number,
  low: number,
  high: number,
  original: number,
): Float32Array {
  const lowWavelength = original / low;
  const highWavelength = original / high;
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < highWavelength) return frequency;
    if (wavelength > lowWavelength) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** YaRN (arXiv 2309.00071): a ramp between interpolated and plain frequencies, and a factor on the caches. */
function yarn(theta: number, section: Record<string, unknown>, settings: RotarySettings): Rotary {
  const get = (key: string): number | undefined => numberIn(section, key) || undefined;
  const dim = settings.headSize;
  const original = get('original_max_position_embeddings') ?? settings.maxPositions;
  const factor = get('factor') ?? settings.maxPositions / original;
  const scaleOf = (scale: number, m = 1): number => (scale <= 1 ? 1 : 0.1 * m * Math.log(scale) + 1);
  const [mscale, mscaleAll] = [get('mscale'), get('mscale_all_dim')];
  const attentionFactor =
    get('attention_factor') ??
    (mscale && mscaleAll ? scaleOf(factor, mscale) / scaleOf(factor, mscaleAll) : scaleOf(factor));

  const correction = (rotations: number): number =>
    (dim * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = section.truncate !== false;
  const round = (value: number, f: (x: number) => number): number => (truncate ? f(value) : value);
  const low = Math.max(round(correction(get('beta_fast') ?? 32), Math.floor), 0);
  let high = Math.min(round(correction(get('beta_slow') ?? 1), Math.ceil), dim - 1);
  if (low === high) high += 0.001;

  const plain = inverseFrequencies(theta, dim);
  const frequencies = plain.map((frequency, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
  return fixed(frequencies, attentionFactor);
}

function numberIn(section: Record<string, unknown>, key: string): number | undefined {
  const value = section[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
