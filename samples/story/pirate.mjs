// A plain story comes in, the same story as a pirate would tell it goes out: other words, dropped letters, shouts of the sea.
import { capital, fill } from './template.mjs';

// Whole phrases before single words; each pattern is matched with and without a capital.
const replacements = [
  ['the end of the river', "the end o' the river"],
  ['smiled a little', 'grinned like a shark'],
  ['all alone', 'marooned'],
  ['good friends', 'good mateys'],
  ['good friend', 'good matey'],
  ['friends', 'mateys'],
  ['friend', 'matey'],
  ['do not', "don't ye"],
  ['hello', 'ahoy'],
  ['thank you', 'thank ye kindly'],
  ['hooray', 'yo ho ho'],
  ['oh no', 'blow me down'],
  ['is not', "be no'"],
  ['was not', "weren't"],
  ['could not', "couldn't"],
  ['you are', 'ye be'],
  ['i am', 'I be'],
  ['it is', "'tis"],
  ['you', 'ye'],
  ['your', 'yer'],
  ['my', 'me'],
  ['yes', 'aye'],
  ['is', 'be'],
  ['are', 'be'],
  ['was', 'were'],
  ['said', 'roared'],
  ['cried', 'bellowed'],
  ['very', 'mighty'],
  ['little', 'wee'],
  ['old', "ol'"],
  ['good', 'fine'],
  ['happy', 'jolly'],
  ['big', 'mighty big'],
  ['looked at', 'spied'],
  ['ran to', 'sailed to'],
  ['went to', 'sailed to'],
  ['went out', 'set sail'],
  ['went on', 'sailed on'],
  ['at home', 'aboard'],
  ['ran home', 'sailed to port'],
  ['went home', 'sailed to port'],
  ['house', 'ship'],
  ['in bed', 'in the bunk'],
  ['coins', 'gold doubloons'],
  ['all the animals', 'the whole crew'],
  ['everyone', 'the whole crew'],
  ['the others', 'the crew'],
  ['and', "an'"],
  ['of', "o'"],
  ['them', "'em"],
];
const shouts = ['Arr!', 'Yo ho ho!', 'Shiver me timbers!', 'Blow me down!', 'Avast!', 'Aye, aye!'];
const beginnings = [
  'Arr, matey, hear the tale of {N} the {kind}!',
  'Arr, {N} be the finest {kind} on the seven seas!',
  'Arr, gather round, ye sea dogs, for {N} the {kind}!',
  'Arr, {N} were a {kind} with salt in {his} blood!',
];
const closings = [
  "An' that be the tale, matey. Arr!",
  'So raise the black flag for {N}, mateys! Arr!',
  'Three cheers for {N}, me hearties! Arr!',
];

const table = new Map(replacements);
const pattern = new RegExp(`\\b(${replacements.map(([plain]) => plain).join('|')})\\b`, 'gi');

/** One sentence in the pirate's words. */
export function speakPirate(sentence) {
  return sentence.replace(pattern, (plain) => {
    const said = table.get(plain.toLowerCase());
    return /^[A-Z]/.test(plain) ? capital(said.replace(/^'t/, "'T")) : said;
  });
}

/** The rest of a story after its opening, in the pirate's voice: begun with "Arr", and with an ending of the pirate's own. */
export function tellAsPirate(story, random) {
  const middle = story.sentences.slice(1, -1).flatMap((sentence) => {
    const said = speakPirate(sentence);
    return random.chance(0.15) ? [said, random.pick(shouts)] : [said];
  });
  return [
    fill(random.pick(beginnings), story.facts),
    ...middle,
    fill(random.pick(closings), story.facts),
  ].join(' ');
}
