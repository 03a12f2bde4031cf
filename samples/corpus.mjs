// A seed comes in, small English stories go out: one hero, one friend, one place, one plot, told in chosen wordings.
// All text is our own. Hero and friend are never both "he" or both "she", so that every pronoun has one owner.
import { pickName } from './story/names.mjs';
import { endings, habits, openings } from './story/opening.mjs';
import { plots } from './story/plots.mjs';
import { createRandom } from './story/random.mjs';
import { makeSong } from './story/songs.mjs';
import { fill } from './story/template.mjs';
import { colours, foods, kinds, places, things, traits, weathers } from './story/words.mjs';

const pronouns = {
  he: { he: 'he', him: 'him', his: 'his' },
  she: { he: 'she', him: 'her', his: 'her' },
};
const wordRange = [60, 160];

export function countWords(text) {
  return text.split(/\s+/).filter(Boolean).length;
}

/** The facts of one story: who, where, when, with what. Every slot of a wording is one of these. */
function castStory(random, plot) {
  const gender = random.pick(['he', 'she']);
  const other = gender === 'he' ? 'she' : 'he';
  const [kind, fkind] = random.shuffle(kinds);
  const [trait, ftrait] = random.shuffle(traits);
  const place = random.pick(places.filter(({ id }) => !plot.places || plot.places.includes(id)));
  const weather = random.pick(weathers.filter(({ id }) => plot.weather.includes(id)));
  const facts = {
    N: pickName(random, gender),
    kind,
    trait,
    ...pronouns[gender],
    F: pickName(random, other),
    fkind,
    ftrait,
    fhe: pronouns[other].he,
    fhim: pronouns[other].him,
    fhis: pronouns[other].his,
    place: place.id,
    home: place.home,
    at: place.at,
    spot: random.pick(place.spots),
    weatherId: weather.id,
    day: weather.day,
    weather: random.pick(weather.line),
    colour: random.pick(colours),
    thing: random.pick(things),
    food: random.pick(foods),
  };
  for (const choices of plot.vars) Object.assign(facts, random.pick(choices));
  for (const [name, value] of Object.entries(facts)) facts[`${name}_the`] = value.replace(/^an? /, 'the ');
  return facts;
}

function tell(random, plot, facts) {
  const say = (wordings) => fill(random.pick(wordings), facts);
  const introductions = habits.filter((habit) => habit.includes('{F}'));
  const parts = [say(openings)];
  if (random.chance(0.3)) parts.push(say(habits.filter((habit) => !habit.includes('{F}'))));
  if (plot.friend !== 'met') parts.push(say(introductions));
  parts.push(...plot.steps.map(say));
  // "You are a true friend" needs somebody who helped; the other moods fit every plot.
  const mood = plot.mood === 'thanks' && random.chance(0.3) ? 'joy' : plot.mood;
  parts.push(say(endings[mood]));
  return parts.filter(Boolean);
}

/** Questions whose answers stand in the text: `[question, answer, what must be found]`. */
function ask(plot, facts, text) {
  const told = text.toLowerCase();
  return plot.asks
    .map((parts) => parts.map((part) => fill(part, facts)))
    .filter(([, answer, evidence]) => told.includes((evidence ?? answer).toLowerCase()))
    .map(([question, answer]) => ({ question, answer }));
}

/**
 * One story: `sentences` (the steps, in order), `text` (joined), `opening`, `facts`, `questions`, `moral`.
 * @param random a stream of createRandom
 */
export function makeStory(random) {
  for (;;) {
    const plot = random.pick(plots);
    const facts = castStory(random, plot);
    const sentences = tell(random, plot, facts);
    const text = sentences.join(' ');
    const words = countWords(text);
    const moral = random.pick(plot.morals);
    if (words < wordRange[0] || words > wordRange[1]) continue;
    return {
      plot: plot.id,
      facts,
      sentences,
      opening: sentences[0],
      text,
      moral,
      questions: ask(plot, facts, text),
    };
  }
}

/** As many different stories as asked for, the same for the same seed. */
export function makeStories(count, seed) {
  const random = createRandom(seed);
  const stories = new Map();
  while (stories.size < count) {
    const story = makeStory(random);
    stories.set(story.text, story);
  }
  return [...stories.values()];
}

/** A request as a user would write it, for a story that is there. */
export function requestFor(story, random) {
  const { trait, kind, N, F, fkind } = story.facts;
  return fill(
    random.pick([
      'Tell me a story about {a trait} {kind} named {N}.',
      'Tell me a story about {a trait} {kind} named {N}.',
      'Please tell me a story about {N}, {a trait} {kind}.',
      'I want to hear a story about {a kind} and {a fkind}. Their names are {N} and {F}.',
    ]),
    { trait, kind, N, F, fkind },
  );
}

/**
 * What the base model reads: `stories` (rows with `text`), for every eighth story `chats` (rows with `messages`), so
 * that the chat's tokens are known to it, and `songs` (rows with `text`), one for every sixth story.
 */
export function makeCorpus(count, seed) {
  const random = createRandom(seed ^ 0x5eed);
  const corpus = { stories: [], chats: [], songs: [] };
  for (const story of makeStories(count, seed)) {
    if (random.chance(1 / 8)) {
      const request = { role: 'user', content: requestFor(story, random) };
      corpus.chats.push({ messages: [request, { role: 'assistant', content: story.text }] });
    } else corpus.stories.push({ text: story.text });
  }
  while (corpus.songs.length < Math.floor(count / 6)) corpus.songs.push({ text: makeSong(random) });
  return corpus;
}
