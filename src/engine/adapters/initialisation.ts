// Start values of LoRA's A and B; one file each in initialisations/.
export { type Initialisation, initialisationOf, initialisations } from './initialisations/registry';
