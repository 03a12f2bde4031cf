// The initialisations of this version. A new one is a file here and a line below.
import { chosenEntry } from '../../recipe/catalogue';
import { corda } from './corda';
import { eva } from './eva';
import { gaussian } from './gaussian';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';
import { loftq } from './loftq';
import { milora } from './milora';
import { off } from './off';
import { olora } from './olora';
import { orthogonal } from './orthogonal';
import { fastPissa, pissa } from './pissa';

export type { Initialisation } from './initialisation';

export const initialisations: readonly Initialisation[] = [
  kaiming,
  gaussian,
  orthogonal,
  pissa,
  fastPissa,
  milora,
  olora,
  corda,
  eva,
  loftq,
  off,
];

export function initialisationOf(id: boolean | string): Initialisation {
  const entry = chosenEntry(
    initialisations.map((initialisation) => initialisation.entry),
    id,
  );
  return initialisations.find((initialisation) => initialisation.entry === entry) ?? kaiming;
}
