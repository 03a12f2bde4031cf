// A random stream comes in, an echo song goes out: a list that nobody can guess, sung two or three times. The base model learns
// from it to look back in the text, which stories need for their names and which they teach only slowly.
import { pickName } from './names.mjs';
import { colours, foods, kinds, things, traits } from './words.mjs';

function anyThing(random) {
  return random.pick([
    () => pickName(random, random.pick(['he', 'she'])),
    () => `${random.pick(colours)} ${random.pick(things)}`,
    () => `${random.pick(traits)} ${random.pick(kinds)}`,
    () => random.pick(foods),
    () => pickName(random, random.pick(['he', 'she'])),
  ])();
}

const singers = ['The echo', 'The bird', 'The river', 'The wind', 'Everyone', 'The moon'];

/** One song of 5 to 9 things, as a text. */
export function makeSong(random) {
  const list = Array.from({ length: 5 + random.below(5) }, () => anyThing(random)).join(', ');
  const times = 1 + random.below(2);
  const echoes = random.shuffle(singers).slice(0, times);
  const leader = pickName(random, random.pick(['he', 'she']));
  return [leader, ...echoes].map((singer) => `${singer} sang: "${list}!"`).join(' ');
}
