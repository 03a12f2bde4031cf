// How every story begins and how it may close, whatever its plot. Slots are those of the facts in ../corpus.mjs.

export const openings = [
  'Once upon a time, {a trait} {kind} named {N} lived {home}.',
  'Once upon a time, {a trait} {kind} named {N} lived {home}.',
  'Once upon a time, there was {a trait} {kind} named {N}. {^he} lived {home}.',
  'There was once {a trait} {kind} named {N} who lived {home}.',
  '{^home}, there lived {a trait} {kind} named {N}.',
  '{N} was {a trait} {kind} who lived {home}.',
  'Long ago, {a trait} {kind} named {N} lived {home}.',
];

export const habits = [
  '{^he} liked to sing when {he} was happy.',
  'Every morning, {he} said hello to the birds.',
  '{^his} best friend was {a fkind} named {F}.',
  '{^he} had a good friend, {a fkind} named {F}.',
  '{^his} friend {F}, {a ftrait} {fkind}, lived close by.',
  'Next door lived {a ftrait} {fkind} named {F}.',
];

export const endings = {
  joy: [
    '{N} had a big smile for the rest of the day.',
    'They laughed until the stars came out.',
    'It was the best day of the year.',
    'That night, {N} fell asleep with a smile.',
    '{N} was the happiest {kind} of all.',
    'They sang and danced together.',
  ],
  calm: [
    'Soon {N} was fast asleep.',
    '{N} closed {his} eyes and dreamed of happy things.',
    'The moon smiled, and all was quiet.',
    '{N} felt warm and safe.',
    'Then the night was quiet and good.',
  ],
  thanks: [
    '"Thank you, {F}," said {N}. "You are a true friend."',
    '"I am glad that you are here," {N} told {F}.',
    '{N} gave {F} a big hug.',
    '"I could not do it without you," said {N}.',
    'From that day on, they were friends for ever.',
  ],
};
