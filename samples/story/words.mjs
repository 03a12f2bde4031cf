// The cast, places and things that stories choose from. Data alone: which of them meet in a story is decided elsewhere.

export const kinds =
  'fox rabbit bear mouse hedgehog squirrel otter badger cat dog duck frog mole beaver lamb pony owl goat'.split(
    ' ',
  );

export const traits = [
  'small',
  'little',
  'brave',
  'shy',
  'clever',
  'kind',
  'gentle',
  'curious',
  'young',
  'cheerful',
  'quiet',
  'merry',
];

export const colours = 'red blue green yellow white brown golden silver purple orange'.split(' ');

export const things = [
  'ball',
  'kite',
  'drum',
  'scarf',
  'key',
  'bell',
  'toy boat',
  'lantern',
  'spoon',
  'hat',
  'book',
  'whistle',
  'button',
  'basket',
  'cup',
  'flute',
  'blanket',
  'ribbon',
];

/** `home` introduces a place, `at` returns to it; `spots` are hiding places that exist there. */
export const places = [
  {
    id: 'meadow',
    home: 'in a green meadow',
    at: 'in the meadow',
    spots: ['under a bush', 'behind a big stone', 'in the tall grass'],
  },
  {
    id: 'forest',
    home: 'in a quiet forest',
    at: 'in the forest',
    spots: ['under the old oak tree', 'behind a fallen log', 'between the roots of a tree'],
  },
  {
    id: 'village',
    home: 'in a little village',
    at: 'in the village',
    spots: ['behind the well', 'under a wooden bench', 'next to the old gate'],
  },
  {
    id: 'hill',
    home: 'on a high hill',
    at: 'on the hill',
    spots: ['behind a round rock', 'under a thorn bush', 'in a small cave'],
  },
  {
    id: 'river',
    home: 'by a wide river',
    at: 'by the river',
    spots: ['under the stone bridge', 'between the reeds', 'behind a willow tree'],
  },
  {
    id: 'pond',
    home: 'by a round pond',
    at: 'by the pond',
    spots: ['between the reeds', 'under a big leaf', 'behind the rotten stump'],
  },
  {
    id: 'farm',
    home: 'on a busy farm',
    at: 'on the farm',
    spots: ['behind the barn', 'under the hay', 'next to the cart'],
  },
  {
    id: 'sea',
    home: 'by the blue sea',
    at: 'by the sea',
    spots: ['behind a sand hill', 'under an old boat', 'between two rocks'],
  },
  {
    id: 'valley',
    home: 'in a deep valley',
    at: 'in the valley',
    spots: ['under a pine tree', 'behind a wall of stones', 'in the soft moss'],
  },
  {
    id: 'orchard',
    home: 'in an old orchard',
    at: 'in the orchard',
    spots: ['under an apple tree', 'behind a ladder', 'in a pile of leaves'],
  },
];

export const weathers = [
  {
    id: 'sunny',
    day: 'one sunny morning',
    line: [
      'The sun was warm and the sky was blue.',
      'The sun shone on everything.',
      'There was not one cloud in the sky.',
    ],
  },
  {
    id: 'cloudy',
    day: 'one cloudy day',
    line: [
      'Grey clouds hung over the land.',
      'The sky was grey and still.',
      'The sun stayed behind the clouds.',
    ],
  },
  {
    id: 'windy',
    day: 'one windy day',
    line: ['The wind shook all the trees.', 'The wind was strong and loud.', 'Leaves flew through the air.'],
  },
  {
    id: 'cold',
    day: 'one cold morning',
    line: [
      'There was frost on the grass.',
      'The air was cold and clear.',
      'Every breath made a little cloud.',
    ],
  },
  {
    id: 'foggy',
    day: 'one foggy morning',
    line: [
      'White fog lay on the ground.',
      'The fog was so thick that the trees were hidden.',
      'Everything looked soft and grey in the fog.',
    ],
  },
  {
    id: 'rainy',
    day: 'one rainy day',
    line: ['The rain fell and fell.', 'Big drops ran down the window.', 'It rained cats and dogs.'],
  },
  {
    id: 'warm',
    day: 'one warm evening',
    line: [
      'The air was soft and warm.',
      'The sky turned pink and gold.',
      'The last light of the sun lay on the ground.',
    ],
  },
];

export const foods = [
  'apple pie',
  'honey cake',
  'berry tart',
  'carrot soup',
  'nut bread',
  'plum cake',
  'pumpkin soup',
  'oat cookies',
];
