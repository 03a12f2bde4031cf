// Three short forms about the same cast (a rhyme, a letter, a weather report), each a task of its own that a model can learn and forget.
import { pickName } from './names.mjs';
import { fill } from './template.mjs';
import { colours, kinds, places, things, traits } from './words.mjs';

const rhymes = [
  ['{N} the {kind} went up the hill,', 'the wind was soft, the air was still.'],
  ['{^he} found a flower, {he} found a stone,', 'and did not want to be alone.'],
  ['{^he} sang a song, {he} beat a drum,', 'and asked the little birds to come.'],
  ['The sun went down, the moon was bright,', 'and {N} the {kind} said: good night!'],
  ['{N} the {kind} went to the sea,', 'and had a cup of honey tea.'],
  ['The rain came down, the wind blew loud,', 'and {N} looked up and saw a cloud.'],
  ['A {colour} bird sat in a tree,', 'and {N} said: will you play with me?'],
  ['{^he} danced with bees, {he} ran with deer,', 'and all {his} friends were very near.'],
  ['{N} the {kind} was {trait} and small,', '{he} liked to kick {his} {colour} ball.'],
  ['{^he} baked a cake, {he} baked a pie,', 'and saw the stars up in the sky.'],
];

const letters = {
  news: [
    'I found {a colour} {thing} {spot}.',
    'Today I walked for a long time {at}.',
    'The others and I had a race, and I was the last.',
    'I planted some seeds, and now I must wait.',
    'Last night I heard a sound, but it was only the wind.',
    'I made a soup, but there was too much salt in it.',
  ],
  asks: [
    'Will you come and see me soon?',
    'How are you and your family?',
    'Do you still have my {thing}?',
    'Please write to me again.',
    'When will you come to play?',
  ],
  greets: ['Your friend, {N}', 'With love from {N}', 'Many hugs, {N}', 'Yours, {N}'],
};

const skies = [
  { sky: 'sunny', temperature: ['21', '22', '24', '25'], advice: 'Wear a hat and drink water.' },
  { sky: 'rainy', temperature: ['11', '12', '14', '15'], advice: 'Take your umbrella.' },
  { sky: 'windy', temperature: ['13', '15', '16', '17'], advice: 'Hold on to your hat.' },
  { sky: 'foggy', temperature: ['7', '8', '9', '10'], advice: 'Walk slowly and take a lantern.' },
  { sky: 'snowy', temperature: ['0', '1', '2', '3'], advice: 'Wear warm boots.' },
];

function cast(random) {
  const gender = random.pick(['he', 'she']);
  const place = random.pick(places);
  return {
    N: pickName(random, gender),
    F: pickName(random, gender === 'he' ? 'she' : 'he'),
    he: gender,
    his: gender === 'he' ? 'his' : 'her',
    kind: random.pick(kinds),
    trait: random.pick(traits),
    colour: random.pick(colours),
    thing: random.pick(things),
    at: place.at,
    spot: random.pick(place.spots),
    place: place.id,
  };
}

function rhyme(random) {
  const facts = cast(random);
  const couplets = random.shuffle(rhymes).slice(0, 2);
  // The hero is named in the first line, so a couplet that only says "he" never leads.
  couplets.sort((a, b) => Number(b[0].includes('{N}')) - Number(a[0].includes('{N}')));
  if (!couplets[0][0].includes('{N}')) couplets[0] = rhymes[0];
  if (couplets[0] === couplets[1]) couplets[1] = rhymes[3];
  return {
    prompt: fill('Write a rhyme about {N} the {kind}.\n', facts),
    completion: fill(couplets.flat().join('\n'), facts),
  };
}

function letter(random) {
  const facts = cast(random);
  const body = [...random.shuffle(letters.news).slice(0, 2), random.pick(letters.asks)].join(' ');
  return {
    prompt: fill('Write a letter from {N} to {F}.\n', facts),
    completion: fill(`Dear {F},\n${body}\n${random.pick(letters.greets)}`, facts),
  };
}

function weather(random) {
  const facts = cast(random);
  const [today, tomorrow] = random.shuffle(skies);
  const degrees = random.pick(today.temperature);
  return {
    prompt: fill('How is the weather {at}? It is {sky}.\n', { ...facts, sky: today.sky }),
    completion: fill('Place: {place}\nSky: {sky}\nDegrees: {degrees}\nTomorrow: {next}\nAdvice: {advice}', {
      ...facts,
      sky: today.sky,
      degrees,
      next: tomorrow.sky,
      advice: today.advice,
    }),
  };
}

/** One row maker `(random) => {prompt, completion}` for each task. */
export const styles = { rhyme, letters: letter, weather };
