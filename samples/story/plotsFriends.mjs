// Plots about two who meet, quarrel, share or wish. The form of a plot is told in plots.mjs.

export const friendPlots = [
  {
    id: 'stuck',
    friend: 'met',
    weather: ['sunny', 'cloudy', 'windy', 'cold', 'foggy'],
    vars: [
      [
        { trap: 'sat in a deep hole', rescue: 'let down a long rope', tool: 'a rope' },
        { trap: 'was stuck under a branch', rescue: 'lifted the branch with a stick', tool: 'a stick' },
        { trap: 'was caught in the thorns', rescue: 'cut the thorns away', tool: 'a small knife' },
        { trap: 'could not get down from a tree', rescue: 'brought a ladder', tool: 'a ladder' },
      ],
      [
        { treat: 'three red apples' },
        { treat: 'a pot of honey' },
        { treat: 'a bag of nuts' },
        { treat: 'sweet berries' },
      ],
    ],
    steps: [
      [
        '{^day}, {N} went for a walk.',
        '{^day}, {N} was on {his} way to the market.',
        '{^day}, {N} went out to look for mushrooms.',
      ],
      ['{weather}', ''],
      ['All at once, {he} heard a voice. "Help! Help!"', 'Then {he} heard somebody cry.'],
      ['It was {a fkind} named {F}. {^fhe} {trap}.', '{^a ftrait} {fkind} {trap}. {^fhis} name was {F}.'],
      [
        '"Please help me," said {F}. "I have been here since morning."',
        '"Who are you?" asked {N}. "I am {F}, and I cannot get out," said the {fkind}.',
        '"Do not worry," said {N}. "I will get you out."',
      ],
      [
        '{N} pulled, but {he} was not strong enough.',
        '{N} thought hard. What could {he} do?',
        'At first, {N} did not know what to do.',
      ],
      ['Then {he} ran home for {tool}. {^he} {rescue}.', '{^he} found {tool} and {rescue}.'],
      [
        'Soon {F} was free. {^fhe} jumped for joy.',
        '"I am free!" cried {F}.',
        '{F} was dirty and tired, but free.',
      ],
      [
        'The next day, {F} came with {treat}. "This is for you," {fhe} said.',
        'To say thank you, {F} gave {him} {treat}.',
      ],
      ['From then on, {N} and {F} were good friends.', 'So {N} had found a new friend.'],
    ],
    mood: 'joy',
    morals: ['Who helps others finds friends.', 'Stop when somebody calls for help.'],
    asks: [
      ['Who needed help?', '{F}'],
      ['What did {N} use?', '{tool}'],
      ['What did {F} give to {N}?', '{treat}'],
      ['What kind of animal was {F}?', '{a fkind}'],
    ],
  },
  {
    id: 'newcomer',
    friend: 'met',
    weather: ['sunny', 'cloudy', 'windy', 'foggy'],
    vars: [
      [
        { strange: 'did not speak at all', why: 'was only shy' },
        { strange: 'hid behind a tree', why: 'was afraid of new faces' },
        { strange: 'looked very sad', why: 'missed {fhis} old home' },
      ],
      [
        { can: 'whistle like a bird' },
        { can: 'draw with a stick' },
        { can: 'jump over the fence' },
        { can: 'tell funny jokes' },
        { can: 'play the flute' },
      ],
    ],
    steps: [
      [
        '{^day}, someone new came to live there. It was {a fkind} named {F}.',
        '{^day}, {a ftrait} {fkind} named {F} moved into the empty house.',
      ],
      ['{weather}', ''],
      [
        'But {F} {strange}.',
        '"Hello," said {N}. But {F} {strange}.',
        'The others wanted to play, but {F} {strange}.',
      ],
      [
        '"{^fhe} does not like us," said the others.',
        'The others went away. Only {N} stayed.',
        '{N} wondered why.',
      ],
      [
        'The next day, {N} brought {food}. "This is for you," {he} said.',
        '{N} put a piece of {food} at the door of the new house.',
      ],
      [
        'Slowly, {F} came out and smiled a little.',
        '"Thank you," said {F} in a small voice.',
        '{F} ate it all. Then {fhe} looked up.',
      ],
      ['{F} {why}.', 'Now {N} understood. {F} {why}.'],
      ['Then {N} saw that {F} could {can}.', '"Look what I can do," said {F}. {^fhe} could {can}!'],
      [
        '"Please teach me!" said {N}.',
        '"That is wonderful," said {N}. "Show it to the others!"',
        'Soon all the others came to see it.',
      ],
      ['Now {F} was not alone any more.', 'From then on, they played together every day.'],
    ],
    mood: 'joy',
    morals: ['Be kind to those who are new.', 'Give everyone some time.'],
    asks: [
      ['Who was new?', '{F}'],
      ['What could {F} do?', '{can}'],
      ['What did {N} bring?', '{food}'],
      ['What kind of animal was {F}?', '{a fkind}'],
    ],
  },
  {
    id: 'quarrel',
    weather: ['sunny', 'cloudy', 'windy', 'cold', 'warm'],
    vars: [
      [
        { act: 'pulled at it', harm: 'it broke in two', mend: 'put it together with glue' },
        { act: 'would not let go', harm: 'it fell into the mud', mend: 'washed it until it was clean' },
        {
          act: 'held it behind {his} back',
          harm: 'it fell down and got a crack',
          mend: 'tied a ribbon around it',
        },
      ],
      // Things that may break, get dirty and be mended.
      [{ thing: 'drum' }, { thing: 'toy boat' }, { thing: 'lantern' }, { thing: 'flute' }, { thing: 'cup' }],
      [
        { left: 'went home without a word' },
        { left: 'ran away in tears' },
        { left: 'turned around and left' },
      ],
    ],
    steps: [
      [
        '{^day}, {N} and {F} found {a colour} {thing} {spot}.',
        '{^day}, there lay {a colour} {thing} {spot}. {N} and {F} saw it at the same time.',
      ],
      [
        '"It is mine!" said {N}. "No, it is mine!" said {F}.',
        '"I saw it first," said {F}. "No, I did," said {N}.',
      ],
      ['{N} {act}, and {harm}.', 'They were both angry. {N} {act}. Then {harm}.'],
      ['{F} {left}.', '"You are not my friend any more," said {F}, and {fhe} {left}.'],
      [
        'Now {N} had the {thing}, but {he} was not happy.',
        '{N} sat alone and felt very bad.',
        'It was quiet. {N} had nobody to play with.',
      ],
      ['So {he} {mend}.', '{^he} thought for a long time. Then {he} {mend}.'],
      [
        '{^he} went to {F} and said, "I am sorry."',
        '"I am sorry," {he} said at the door of {F}. "It is for you."',
      ],
      ['"I am sorry, too," said {F}.', '{F} looked at {him} and smiled. "Let us share it," {fhe} said.'],
      [
        'So {N} had the {thing} on one day, and {F} on the next.',
        'From then on, the {colour} {thing} was for both of them.',
      ],
    ],
    mood: 'joy',
    morals: ['A friend is worth more than a thing.', 'It is good to say sorry.'],
    asks: [
      ['What did they find?', '{a colour} {thing}'],
      ['Where was the {thing}?', '{spot}'],
      ['What happened to the {thing}?', '{harm}'],
      ['Who said sorry first?', '{N}'],
    ],
  },
  {
    id: 'wish',
    weather: ['warm', 'cold'],
    vars: [
      [
        { dream: 'fly like a bird', answer: 'carried {him} on its back over the trees', bearer: 'swan' },
        { dream: 'see the world from above', answer: 'took {him} up to the clouds', bearer: 'goose' },
        { dream: 'see the end of the river', answer: 'swam with {him} to the great sea', bearer: 'swan' },
        {
          dream: 'touch the snow on the mountain',
          answer: 'flew with {him} to the white mountain',
          bearer: 'goose',
        },
      ],
    ],
    steps: [
      [
        '{N} had one big wish. {^he} wanted to {dream}.',
        'Every night, {N} looked at the stars. "I wish I could {dream}," {he} said.',
      ],
      [
        '"You are too small for that," said {F}.',
        '{F} only laughed. "Nobody here can do that," {fhe} said.',
        '"I hope it will come true," said {F}.',
      ],
      [
        '{^day}, {N} found {a bearer} with a hurt wing {spot}.',
        '{^day}, there was {a bearer} {spot}. It had a hurt wing.',
      ],
      [
        '{N} gave it water and bread every day.',
        '{N} took care of it, and {F} brought soft grass for a bed.',
      ],
      [
        '"You are so kind," said the {bearer}. "What do you wish for?"',
        'When the wing was well again, the {bearer} said, "Now I will help you."',
      ],
      ['"I want to {dream}," said {N} in a small voice.', '{N} told the {bearer} about {his} dream.'],
      ['The {bearer} {answer}.', '"Hold on tight," said the {bearer}. And it {answer}.'],
      [
        'It was more beautiful than {he} had thought.',
        '{N} looked and looked, and {his} eyes were as big as plates.',
      ],
      [
        'In the evening, {he} was home again and told {F} everything.',
        '"It was true," {he} told {F} that night. "It was all true."',
      ],
    ],
    mood: 'calm',
    morals: ['Kindness can make a wish come true.', 'Never laugh at a dream.'],
    asks: [
      ['What did {N} wish for?', 'to {dream}', '{dream}'],
      ['What animal was hurt?', '{a bearer}'],
      ['Where was the {bearer}?', '{spot}'],
    ],
  },
  {
    id: 'market',
    weather: ['sunny', 'cloudy', 'cold', 'windy'],
    vars: [
      [{ coins: '12' }, { coins: '10' }, { coins: '20' }, { coins: '15' }, { coins: '18' }, { coins: '14' }],
      [
        { poor: 'an old hedgehog', lack: 'had no shoes' },
        { poor: 'a hungry sparrow', lack: 'had nothing to eat' },
        { poor: 'an old mole', lack: 'had lost its way' },
      ],
      [{ gave: 'all {his} coins' }, { gave: 'half of {his} coins' }],
    ],
    steps: [
      ['{N} had {coins} coins in a little bag.', 'For a long time, {N} had saved {coins} coins.'],
      [
        '{^he} wanted to buy {a colour} {thing}.',
        '{^he} had seen {a colour} {thing} at the market, and {he} wanted it very much.',
      ],
      ['{^day}, {he} went to the market with {F}.', '{^day}, {N} and {F} set out for the market.'],
      ['{weather}', ''],
      ['On the way, they met {poor} who {lack}.', 'By the road sat {poor} who {lack}.'],
      ['{N} looked at the bag. {^he} thought of the {thing}.', '"How sad," said {F}. "But I have no money."'],
      ['Then {he} gave away {gave}.', '"Here, take this," said {N}, and {he} gave away {gave}.'],
      [
        'Now {he} could not buy the {thing}. But {his} heart was light.',
        'At the market, {he} only looked at the {thing}. It cost too much now.',
      ],
      [
        'But {F} had seen it all. {^fhe} worked for a week and bought the {colour} {thing} for {N}.',
        'A week later, there was a box at {his} door. In it was the {colour} {thing}! It was from {F}.',
      ],
    ],
    mood: 'thanks',
    morals: ['What you give comes back to you.', 'A kind heart is worth more than gold.'],
    asks: [
      ['How many coins did {N} have?', '{coins}'],
      ['What did {N} want to buy?', '{a colour} {thing}'],
      ['Whom did they meet?', '{poor}'],
      ['Who gave the {thing} to {N}?', '{F}'],
    ],
  },
];
