// Which layers of the Qwen families slide: an explicit `layer_types` list, or every layer from `max_window_layers` on.
import type { ConfigReader } from './config';

/** The window of each layer, in positions; undefined for full attention. */
export function slidingLayers(config: ConfigReader): (layer: number) => number | undefined {
  if (!config.boolean('use_sliding_window', false)) return () => undefined;
  const window = config.integer('sliding_window', 4096);
  const types = config.raw('layer_types');
  if (Array.isArray(types)) return (layer) => (types[layer] === 'sliding_attention' ? window : undefined);
  const first = config.integer('max_window_layers', 28);
  return (layer) => (layer >= first ? window : undefined);
}
