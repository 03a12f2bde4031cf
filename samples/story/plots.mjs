// All plots. A plot is data: what may vary (`vars`: one object of each list is chosen), the steps with their wordings,
// where and when it can happen, how it closes, and questions whose answers the story states.
import { friendPlots } from './plotsFriends.mjs';
import { homePlots } from './plotsHome.mjs';
import { outdoorPlots } from './plotsOutdoors.mjs';

export const plots = [...outdoorPlots, ...homePlots, ...friendPlots];
