// The checks in the order in which they run.
import { checkAdapter } from './adapter.mjs';
import { checkConfigure } from './configure.mjs';
import { checkControl } from './control.mjs';
import { checkGpu } from './gpu.mjs';
import { checkJourney } from './journey.mjs';
import { checkLens } from './lens.mjs';
import { checkPlayground } from './playground.mjs';
import { checkRecipeText } from './recipeText.mjs';
import { checkRun } from './run.mjs';
import { checkSidebar, checkWelcome } from './sidebar.mjs';

export const checks = [
  { name: 'sidebar', title: 'Sidebar, palette, walkthrough', check: checkSidebar },
  { name: 'configure', title: 'The form of a recipe', check: checkConfigure },
  { name: 'text', title: 'A recipe as text', check: checkRecipeText },
  { name: 'run', title: 'The page of a run', check: checkRun },
  { name: 'adapter', title: 'The page of an adapter', check: checkAdapter },
  { name: 'lens', title: 'A dataset as the model sees it', check: checkLens },
  { name: 'playground', title: 'The playground', check: checkPlayground },
  { name: 'control', title: 'A live run: steered, reloaded, stopped', check: checkControl },
  { name: 'journey', title: 'From an empty form to an adapter that talks', check: checkJourney },
  { name: 'gpu', title: 'Training on a GPU', check: checkGpu },
  { name: 'welcome', title: 'An empty folder', check: checkWelcome },
];
