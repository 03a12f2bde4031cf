// What the files in an adapter's folder are called: PEFT's, and ours beside them.

export const configName = 'adapter_config.json';
export const weightsName = 'adapter_model.safetensors';
export const pickleName = 'adapter_model.bin';
export const cardName = 'README.md';
/** Our own settings and tensors beside PEFT's. */
export const nativeStateName = 'engine_state.json';
export const nativeWeightsName = 'engine_state.safetensors';
/** The base's config, where positions were stretched; what a run found out before it trained. */
export const baseConfigName = 'base_config.json';
export const preparationName = 'preparation.json';
export const knownSideFiles: readonly string[] = [baseConfigName, preparationName];

/** Folder of one task inside the folder of an adapter of several. @param index counted from 0. */
export const taskFolder = (index: number): string => `task-${index + 1}`;
export const taskFolderName = /^task-\d+$/;
