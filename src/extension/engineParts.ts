// The engine's pure parts that the extension uses. They are a bundle of their own, loaded at first use with
// `await import('./engineParts')`, so that activation stays light; nothing of it touches native code.
export { catalogue } from '../engine/catalogue';
export { fingerprint } from '../engine/checkpoint/fingerprint';
export { openCheckpoint } from '../engine/checkpoint/folder';
export { inspectSafetensors, readSafetensors } from '../engine/checkpoint/safetensors';
export { cudaDevice, readDeviceUse } from '../engine/cuda/deviceUse';
export { providerInstalled, storageFolder } from '../engine/cuda/storage';
export { availableMemory } from '../engine/estimate/availableMemory';
export { deviceContext } from '../engine/estimate/deviceContext';
export { writeFileAtomic } from '../engine/files/atomic';
export { modelFromConfig } from '../engine/models/registry';
export { recipeFields } from '../engine/recipe/fields';
export { formatRecipe } from '../engine/recipe/format';
export { loadRecipe } from '../engine/recipe/load';
export { parseRecipe } from '../engine/recipe/parse';
export { recipeSchema } from '../engine/recipe/schema';
export { validateRecipe } from '../engine/recipe/validate';
export { checkRecipe } from './recipes/check';
export { describeData } from './webviews/configureData';
export { editRecipe, smallestChange } from './webviews/configureEdit';
export { forecastKey, quickForecast } from './webviews/configureForecast';
export { readForm, settingOrder } from './webviews/configureForm';
export { coverageOf, toggleTargets } from './webviews/configureTargets';
