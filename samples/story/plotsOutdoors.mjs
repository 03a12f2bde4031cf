// Plots that happen under the open sky. The form of a plot is told in plots.mjs.

export const outdoorPlots = [
  {
    id: 'lost',
    weather: ['sunny', 'cloudy', 'windy', 'cold', 'foggy'],
    vars: [
      [
        { cause: 'The wind took it away in the night', clue: 'some broken twigs' },
        { cause: 'A magpie took it and let it fall', clue: 'a black feather' },
        { cause: 'It fell down when {he} played there', clue: '{his} own footprints' },
        { cause: 'It fell out of a bag when nobody looked', clue: 'prints in the soft ground' },
      ],
      [
        { thinks: 'at home' },
        { thinks: 'in {his} bed' },
        { thinks: 'in the kitchen' },
        { thinks: 'behind the door' },
      ],
    ],
    steps: [
      [
        '{N} had {a colour} {thing}. {^he} took it everywhere.',
        '{N} loved {his} {colour} {thing} more than anything.',
        '{N} had {a colour} {thing} from {his} grandmother.',
      ],
      [
        '{^day}, the {thing} was gone.',
        '{^day}, {N} could not find the {thing}.',
        '{^day}, {N} woke up and the {thing} was not there.',
      ],
      ['{weather}', ''],
      [
        '"Oh no!" cried {N}. "Where is my {thing}?"',
        '{N} began to cry. "My {thing} is lost," {he} said.',
        '"Have you seen my {colour} {thing}?" {N} asked {F}.',
      ],
      [
        '"Do not be sad," said {F}. "I will help you look for it."',
        '{F} took {his} hand. "We will find it," {fhe} said.',
        '"Let us look for it together," said {F}.',
      ],
      [
        'First they looked {thinks}, but it was not there.',
        'They looked {thinks}. There was no {thing}.',
        'They looked {thinks}, but they found only dust.',
      ],
      [
        'Then {F} saw {clue} on the ground.',
        'After a while, {N} saw {clue}.',
        '"Look!" said {F}. There was {clue} on the path.',
      ],
      [
        'They went on, and there, {spot}, lay the {colour} {thing}!',
        'And there it was! The {colour} {thing} lay {spot}.',
        'They looked {spot}, and there was the {thing}.',
      ],
      ['{cause}.', ''],
      [
        '{N} held the {thing} and jumped for joy.',
        '{N} was so happy that {he} danced.',
        '"Hooray!" said {N}. "We found it!"',
      ],
    ],
    mood: 'thanks',
    morals: ['It is easier to find a thing when a friend helps.', 'Do not give up too soon.'],
    asks: [
      ['What did {N} lose?', 'the {colour} {thing}'],
      ['Where was the {thing}?', '{spot}'],
      ['What colour was the {thing}?', '{colour}'],
      ['Who helped {N}?', '{F}'],
    ],
  },
  {
    id: 'race',
    weather: ['sunny', 'windy', 'cold', 'cloudy'],
    vars: [
      [
        { goal: 'the old mill' },
        { goal: 'the tall tree' },
        { goal: 'the white fence' },
        { goal: 'the big rock' },
      ],
      [
        { trouble: 'fell over a root', help: 'helped {fhim} up' },
        { trouble: 'stepped into a deep hole', help: 'pulled {fhim} out' },
        { trouble: 'hurt {fhis} foot on a stone', help: 'tied a leaf around the foot' },
      ],
      [
        { prize: 'a basket of apples' },
        { prize: 'a crown of flowers' },
        { prize: 'a jar of honey' },
        { prize: 'a bag of nuts' },
      ],
    ],
    steps: [
      [
        '{^day}, there was a big race {at}.',
        '{^day}, all the animals came to the great race.',
        '{^day}, {N} and {F} wanted to see who was faster.',
      ],
      ['{weather}', ''],
      ['They had to run to {goal}. The prize was {prize}.', 'The first one at {goal} would win {prize}.'],
      [
        '"I will win," said {F}.',
        '"I am very fast today," said {N}.',
        '"May the best one win," said {N}.',
        '',
      ],
      [
        '"1, 2, 3, go!" called the owl.',
        '"Ready? Go!" called the old goat.',
        'The drum went boom, and they all ran.',
      ],
      [
        '{N} ran as fast as {he} could. {F} was right behind {him}.',
        '{F} was in front, and {N} ran after {fhim}.',
        '{N} and {F} ran side by side.',
      ],
      ['Then {F} {trouble}.', 'But near {goal}, {F} {trouble}.', '"Ouch!" cried {F}, who {trouble}.'],
      [
        '{N} could win now. But {he} stopped and went back.',
        '{N} looked at {goal}. Then {he} turned around.',
        '{N} did not think of the prize any more. {^he} ran back.',
      ],
      ['{^he} {help}.', '{^he} {help}, and {F} smiled.', '"Do not worry," said {N}, and {he} {help}.'],
      [
        'Hand in hand, they came to {goal}. They were the last.',
        'They went to {goal} together, step by step.',
      ],
      [
        'All the animals clapped, and the two friends got {prize}.',
        'Everyone cheered, and {N} and {F} shared {prize}.',
      ],
    ],
    mood: 'joy',
    morals: ['A friend is worth more than a prize.', 'It is better to be kind than to be first.'],
    asks: [
      ['Where did they run to?', '{goal}'],
      ['What was the prize?', '{prize}'],
      ['Who {trouble}?', '{F}'],
      ['Who stopped to help?', '{N}'],
    ],
  },
  {
    id: 'garden',
    weather: ['sunny', 'warm', 'cloudy'],
    vars: [
      [
        { plant: 'sunflower', grew: 'taller than the house', part: 'seeds' },
        { plant: 'pumpkin', grew: 'bigger than a cart', part: 'pumpkin soup' },
        { plant: 'bean', grew: 'up to the roof', part: 'beans' },
        { plant: 'strawberry', grew: 'red and sweet', part: 'berries' },
        { plant: 'carrot', grew: 'long and orange', part: 'carrots' },
      ],
      [
        { count: '3' },
        { count: '4' },
        { count: '5' },
        { count: '6' },
        { count: '7' },
        { count: '8' },
        { count: '9' },
      ],
      [{ guest: 'snail' }, { guest: 'crow' }, { guest: 'beetle' }, { guest: 'caterpillar' }],
    ],
    steps: [
      [
        '{^day}, {F} gave {N} {count} {plant} seeds.',
        '{^day}, {N} found {count} {plant} seeds in a bag.',
        '{^day}, {N} wanted to plant a garden. {^he} had {count} {plant} seeds.',
      ],
      [
        '{N} made {count} little holes and put one seed into each.',
        '{^he} dug the ground and put the seeds to bed.',
        '{^he} put them into the dark ground and gave them water.',
      ],
      [
        '{N} waited and waited. Nothing came up.',
        'The next day, {he} looked. There was only brown earth.',
        '"Why do they not grow?" asked {N}.',
      ],
      [
        '"You must wait," said {F}. "Good things need time."',
        '"Seeds are slow," said {F}. "Give them sun and water."',
        '{F} laughed. "They are still asleep," {fhe} said.',
      ],
      [
        'So {N} gave them water every day.',
        'Every morning, {N} brought a can of water.',
        '{N} sang to the seeds every evening.',
      ],
      [
        'Then came a hungry {guest}. "Please do not eat them," said {N}. {^he} gave the {guest} some old bread.',
        'A {guest} wanted to eat the first leaf, but {N} gave it a piece of bread.',
        '',
      ],
      [
        'At last, a green leaf came out of the ground.',
        'One day, there was a tiny green leaf!',
        'After the rain, {count} green leaves looked up at the sky.',
      ],
      ['In summer, the best {plant} was {grew}.', 'The {plant} plants grew and grew. Soon one was {grew}.'],
      [
        'There was enough for everyone. {N} gave {part} to all {his} friends.',
        '{N} shared the {part} with {F} and all the others.',
      ],
    ],
    mood: 'joy',
    morals: ['Good things need time.', 'Care makes small things grow.'],
    asks: [
      ['What did {N} plant?', '{plant} seeds'],
      ['How many seeds were there?', '{count}'],
      ['What did {N} share?', '{part}'],
      ['Who told {N} to wait?', '{F}'],
    ],
  },
  {
    id: 'kite',
    weather: ['windy'],
    places: ['meadow', 'village', 'hill', 'river', 'farm', 'sea', 'valley', 'orchard'],
    vars: [
      [{ high: 'in the top of a tree' }, { high: 'on the roof of the barn' }, { high: 'on the old tower' }],
      [
        { helper: 'crow', way: 'flew up and pulled the string free' },
        { helper: 'pigeon', way: 'took the string in its beak and flew down' },
        { helper: 'squirrel', way: 'climbed up and pushed the kite down' },
      ],
    ],
    steps: [
      [
        '{^day}, {N} made {a colour} kite out of paper.',
        '{^day}, {N} took {his} {colour} kite outside.',
        '{^day}, {F} and {N} went out with {a colour} kite.',
      ],
      ['{weather}'],
      [
        'The kite flew up and up, high over the trees.',
        'Up went the kite! It danced in the wind.',
        '"Higher, higher!" called {F}, and the kite flew up.',
      ],
      [
        'But then the string broke. The kite was stuck {high}.',
        'Then the wind pulled too hard, and the kite got stuck {high}.',
      ],
      [
        '{N} jumped, but {he} could not reach it.',
        '"It is too high for us," said {N}.',
        '{F} threw a stick, but it did not help.',
      ],
      [
        'A {helper} sat there and saw it all. "Can you help us?" asked {N}.',
        '"Dear {helper}," called {F}, "can you help us, please?"',
      ],
      ['The {helper} {way}.', '"Of course," said the {helper}, and it {way}.'],
      [
        '"Thank you!" said {N}. {^he} gave the {helper} a sweet berry.',
        '{N} and {F} clapped. They gave the {helper} some bread.',
      ],
      [
        'Then {N} tied the string again, and the kite flew until evening.',
        'The {colour} kite flew again, and this time {N} held on tight.',
      ],
    ],
    mood: 'joy',
    morals: ['It is good to ask for help.', 'Even a small helper can do great things.'],
    asks: [
      ['What colour was the kite?', '{colour}'],
      ['Where was the kite stuck?', '{high}'],
      ['Who helped with the kite?', 'a {helper}', '{helper}'],
    ],
  },
  {
    id: 'boat',
    weather: ['sunny', 'windy', 'cloudy'],
    places: ['river', 'sea', 'pond'],
    vars: [
      [
        { boat: 'a wooden boat' },
        { boat: 'a raft' },
        { boat: 'an old ship' },
        { boat: 'a boat with a white sail' },
      ],
      [{ chest: 'a box' }, { chest: 'a chest' }, { chest: 'a bottle' }],
      [{ inside: 'a map' }, { inside: 'a gold coin' }, { inside: 'a letter' }, { inside: 'a silver ring' }],
    ],
    steps: [
      [
        '{^day}, {N} and {F} found {boat}.',
        '{^day}, the two friends went out in {boat}.',
        '{^day}, {F} came with {boat}. "Ahoy, {N}!" {fhe} called.',
      ],
      ['{weather}', ''],
      [
        '"I will be the captain," said {N}.',
        '"You are the captain, and I hold the sail," said {F}.',
        '"Let us sail to the island," said {N}.',
      ],
      [
        'They sailed over the water, up and down, up and down.',
        'The waves went splash against the wood.',
        'A fish jumped out of the water and said hello.',
      ],
      [
        'Then a big wave came. "Hold on!" cried {F}.',
        'All at once, water came into the boat. {N} took a cup and threw it out.',
        'Then the wind turned, and the boat went round and round.',
      ],
      [
        '{N} was afraid, but {F} held {his} hand.',
        '"Do not be afraid," said {N}. "I see land!"',
        'They worked together, and soon the water was calm again.',
      ],
      [
        'On the sand of a little island, they found {chest}. In it was {inside}.',
        'They came to a little island. There lay {chest}, and in it was {inside}.',
      ],
      ['"A real treasure!" said {F}.', '"We are rich!" laughed {N}.', '{N} had never seen such a treasure.'],
      [
        'In the evening, they sailed home and told everyone about it.',
        'They took it home and put it on the table.',
      ],
    ],
    mood: 'joy',
    morals: ['Two friends can sail through any storm.', 'The best treasure is a friend.'],
    asks: [
      ['What was in {chest_the}?', '{inside}'],
      ['Where did they sail?', 'to a little island', 'a little island'],
      ['Who went with {N}?', '{F}'],
    ],
  },
  {
    id: 'snow',
    weather: ['cold'],
    vars: [
      [
        { body: 'a snowman', nose: 'a carrot' },
        { body: 'a snow bear', nose: 'a black stone' },
        { body: 'a snow owl', nose: 'a yellow leaf' },
      ],
      [{ wear: 'hat' }, { wear: 'scarf' }, { wear: 'cap' }, { wear: 'coat' }],
    ],
    steps: [
      [
        '{^day}, everything was white. It had snowed all night.',
        '{^day}, {N} looked out. "Snow!" {he} called.',
        '{^day}, the first snow fell.',
      ],
      [
        '{N} ran outside and left little prints in the snow.',
        '{N} put on warm boots and ran to {F}.',
        'The snow was soft and deep.',
      ],
      [
        '"Let us make {body}," said {F}.',
        '{N} and {F} made {body}.',
        '"I know what we can do," said {N}. "We will make {body}!"',
      ],
      [
        'They rolled a big ball and then a small ball.',
        'They pushed and rolled until their noses were red.',
        'They worked all morning and threw a snowball or two.',
      ],
      ['For the nose, they took {nose}.', '{F} found {nose}. It was a fine nose.'],
      [
        '"It looks cold," said {N}. {^he} gave it {his} {colour} {wear}.',
        '{N} took off {his} {colour} {wear} and put it on {body_the}.',
      ],
      ['But then {N} was cold, too. {^he} shook and shook.', 'Soon {N} began to sneeze. "Achoo!"'],
      [
        '{F} ran home and came back with a warm blanket.',
        '"Come with me," said {F}. "I have hot soup for you."',
      ],
      [
        'They sat at the window and looked at {body_the}.',
        'From the window, they saw {body_the} in the moonlight. It seemed to smile.',
      ],
    ],
    mood: 'calm',
    morals: ['Who gives warmth gets warmth.', 'A good friend sees when you are cold.'],
    asks: [
      ['What did they make?', '{body}'],
      ['What was the nose?', '{nose}'],
      ['What colour was the {wear}?', '{colour}'],
    ],
  },
];
