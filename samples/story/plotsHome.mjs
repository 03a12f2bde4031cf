// Plots around the house: weather, food, night, building. The form of a plot is told in plots.mjs.

export const homePlots = [
  {
    id: 'rain',
    weather: ['rainy'],
    vars: [
      [
        { game: 'built a tent out of a blanket', play: 'In the tent, they told each other stories' },
        { game: 'made paper boats', play: 'The boats sailed over the kitchen floor' },
        { game: 'played hide and seek', play: '{F} hid in the wardrobe, and {N} looked everywhere' },
        { game: 'painted a big picture', play: 'They painted the sun, the sea and a rainbow' },
        { game: 'made music with pots and spoons', play: 'It was so loud that the windows shook' },
      ],
      [
        { wish: 'to swim' },
        { wish: 'to climb trees' },
        { wish: 'to pick berries' },
        { wish: 'to fly a kite' },
        { wish: 'to play ball' },
      ],
    ],
    steps: [
      ['{^day}, {N} wanted {wish}.', '{^day}, {N} stood at the window. {^he} wanted {wish}.'],
      ['{weather}'],
      [
        '"What a sad day," said {N}.',
        '"I do not like the rain," {N} said with a sigh.',
        '{N} looked at the drops on the glass and felt sad.',
      ],
      [
        'Knock, knock! It was {F}, and {fhe} was wet from head to toe.',
        'Then the door opened. There stood {F} with a big umbrella.',
        'Then {F} came in and shook the water from {fhis} coat.',
      ],
      [
        '"A rainy day is a good day to play inside," said {F}.',
        '"We do not need the sun to have fun," said {F}.',
        '"Why are you sad?" asked {F}. "I have an idea!"',
      ],
      ['So they {game}.', 'They took off their shoes and {game}.'],
      ['{play}.', '{play}, and they laughed and laughed.'],
      [
        'When the rain stopped, {N} did not even see it.',
        'At last the rain stopped, and a rainbow stood in the sky.',
        'In the evening, the clouds went away, but they played on.',
      ],
      [
        '"I like the rain now," said {N}.',
        '"Please let it rain tomorrow," said {N}.',
        '"That was more fun than {wish}," said {N}.',
      ],
    ],
    mood: 'joy',
    morals: ['Every kind of weather can be a good one.', 'With a friend, even a rainy day is bright.'],
    asks: [
      ['What did {N} want to do?', '{wish}'],
      ['What did they do inside?', 'they {game}', '{game}'],
      ['How was the weather?', 'rainy', 'rain'],
      ['Who came to {N}?', '{F}'],
    ],
  },
  {
    id: 'baking',
    weather: ['sunny', 'cloudy', 'cold', 'windy'],
    vars: [
      [
        { missing: 'butter', from: 'the cow on the hill' },
        { missing: 'honey', from: 'the bees in the tree' },
        { missing: 'flour', from: 'the miller' },
        { missing: 'eggs', from: 'the hens' },
        { missing: 'salt', from: 'the old goat' },
      ],
      [{ hour: '3' }, { hour: '4' }, { hour: '5' }, { hour: '6' }],
      [
        { reason: '{F} had a birthday' },
        { reason: 'it was a feast day' },
        { reason: 'grandmother came to visit' },
      ],
    ],
    steps: [
      [
        '{^day}, {N} wanted to make {food}, because {reason}.',
        '{^day}, {reason}. "I will make {food}," said {N}.',
      ],
      [
        '{^he} took a big bowl and a wooden spoon.',
        '{^he} put on an apron and washed {his} hands.',
        '{^he} looked into the big cook book.',
      ],
      ['But there was no {missing} in the house.', '"Oh dear," said {N}. "I have no {missing}."'],
      [
        'So {he} went to {from}. "May I have some {missing}, please?"',
        '{^he} took a basket and asked {from} for some {missing}.',
      ],
      [
        '"Yes, if you bring me a piece later," was the answer.',
        '"Take it, and tell me how it tastes," was the answer.',
        'And {he} got some.',
      ],
      [
        '{N} mixed and stirred until {his} arms were tired.',
        'There was a white spot on the nose of {N}. {^he} did not see it.',
        '{F} came by and helped to stir.',
      ],
      [
        'Soon a sweet smell came out of the oven.',
        "At {hour} o'clock, everything was done. It smelled so good!",
      ],
      [
        '{F} tasted it first. "It is the best {food} in the world!" {fhe} said.',
        '"Mmm," said {F}. "May I have more?"',
      ],
      [
        '{N} did not forget {from} and brought a big piece there.',
        'They all sat at the table, and there was enough for everyone.',
      ],
    ],
    mood: 'joy',
    morals: ['Food tastes best when it is shared.', 'Who asks nicely gets help.'],
    asks: [
      ['What did {N} make?', '{food}'],
      ['What was missing?', '{missing}'],
      ['Who had {missing}?', '{from}'],
    ],
  },
  {
    id: 'night',
    weather: ['warm', 'cold', 'windy'],
    vars: [
      [
        { sound: 'Tap, tap, tap', source: 'a branch at the window', fear: 'a ghost' },
        { sound: 'Hoo, hoo', source: 'an owl that sang to its babies', fear: 'a wolf' },
        { sound: 'Creak, creak', source: 'the old door', fear: 'a thief' },
        { sound: 'Drip, drop', source: 'the rain in a bucket', fear: 'a monster' },
        { sound: 'Scratch, scratch', source: 'a tiny beetle in the wall', fear: 'a dragon' },
      ],
      [{ light: 'lantern' }, { light: 'candle' }, { light: 'lamp' }],
    ],
    steps: [
      [
        'One dark night, {N} could not sleep.',
        'One night, {N} woke up all at once.',
        'It was late at night, and {N} lay in bed.',
      ],
      [
        '"{sound}!" What was that?',
        '{^he} heard a sound. "{sound}!" it went.',
        '"{sound}," went something in the dark.',
      ],
      [
        '{N} pulled the blanket over {his} head.',
        '{N} thought it was {fear}. {^his} heart went boom, boom.',
        '"Is it {fear}?" whispered {N}.',
      ],
      [
        '{^he} ran to {F}. "There is {fear} in my house!" {he} said.',
        '{^he} called {F}. "Please come, I am afraid," {he} said.',
      ],
      ['{F} took {a light}. "Let us look," {fhe} said.', '"I am here," said {F}, and {fhe} lit {a light}.'],
      [
        'Step by step, they went through the dark.',
        'They held hands and went on tiptoe.',
        'The {light} made long shadows on the wall.',
      ],
      [
        '"{sound}!" There it was again. And what did they see? It was only {source}!',
        'Then they saw it. It was not {fear}. It was {source}!',
      ],
      [
        'They both began to laugh.',
        '"What a silly thing to be afraid of," said {N}.',
        '"Is that all?" said {N}. Now {he} was not afraid any more.',
      ],
      [
        '{F} stayed for the night, and they shared the big blanket.',
        '"Good night," said {F}, and {fhe} blew out the {light}.',
        '{N} got back into bed, and the sound was like a song.',
      ],
    ],
    mood: 'calm',
    morals: ['Things are not so bad when you look at them in the light.', 'It is brave to look.'],
    asks: [
      ['What made the sound?', '{source}'],
      ['What did {N} think it was?', '{fear}'],
      ['What did {F} bring?', '{a light}'],
      ['Who came to help {N}?', '{F}'],
    ],
  },
  {
    id: 'building',
    weather: ['sunny', 'cloudy', 'windy', 'cold'],
    vars: [
      [
        {
          build: 'a tree house',
          need: 'wood and nails',
          use: 'From up there, they could see the whole land',
        },
        { build: 'a bridge', need: 'long logs', use: 'Now everyone could cross the stream' },
        { build: 'a little hut', need: 'branches and mud', use: 'There was room for two beds and a table' },
        { build: 'a swing', need: 'rope and a board', use: 'They could fly up to the sky' },
        { build: 'a cart', need: 'four wheels', use: 'It ran down the hill like the wind' },
      ],
      [
        { fail: 'it fell down with a crash', fix: 'made it stronger with rope' },
        { fail: 'one side broke off', fix: 'took thicker wood' },
        { fail: 'it was much too small', fix: 'measured everything again' },
      ],
    ],
    steps: [
      [
        '{^day}, {N} had an idea. {^he} wanted to build {build}.',
        '{^day}, {N} said, "I want to build {build}."',
      ],
      [
        '"That is too hard for you," said a crow.',
        '"How do you do that?" asked {F}.',
        '{^he} made a drawing and showed it to {F}.',
        '',
      ],
      [
        'For that {he} needed {need}.',
        '{N} went out and looked for {need}. It took all day.',
        '{F} helped to carry {need}.',
      ],
      ['{N} worked and worked. But then {fail}.', 'Bang, bang, went the hammer. But in the end, {fail}.'],
      [
        '{N} sat down and wanted to give up.',
        '"I cannot do it," said {N}, and {he} hung {his} head.',
        '{N} was so angry that {he} kicked a stone.',
      ],
      [
        '"Let us try again," said {F}. "I will hold it, and you tie it."',
        '"Nobody can do it the first time," said {F}.',
        '"Two can do more than one," said {F}.',
      ],
      ['This time, they {fix}.', 'They thought about it, and then they {fix}.'],
      [
        'When the sun went down, {build} was ready.',
        'After three days, {build} stood there, strong and fine.',
      ],
      ['{use}.', '{use}, and even the crow was amazed.'],
    ],
    mood: 'thanks',
    morals: ['If you fail, try again.', 'Two can do more than one.'],
    asks: [
      ['What did {N} build?', '{build}'],
      ['What did {N} need?', '{need}'],
      ['What went wrong?', '{fail}'],
      ['Who helped {N}?', '{F}'],
    ],
  },
  {
    id: 'sick',
    weather: ['cold', 'cloudy', 'foggy'],
    vars: [
      [
        { ill: 'a sore throat', cure: 'tea with honey' },
        { ill: 'a bad cold', cure: 'hot soup' },
        { ill: 'a high fever', cure: 'a cool cloth' },
        { ill: 'a hurt leg', cure: 'a clean bandage' },
      ],
      [
        { gift: 'a book of fairy tales' },
        { gift: 'a bunch of flowers' },
        { gift: 'a warm pillow' },
        { gift: 'a picture' },
      ],
    ],
    steps: [
      [
        '{^day}, {N} wanted to play with {F}, but {F} did not come.',
        '{^day}, {N} waited for {F}. Where was {fhe}?',
      ],
      ['{weather}', ''],
      ['{N} went to the house of {F} and knocked.', '{N} ran to {fhis} house as fast as {he} could.'],
      ['{F} lay in bed. {^fhe} had {ill}.', '"Come in," said a weak voice. {F} had {ill}.'],
      ['"Poor {F}," said {N}. "I will take care of you."', '"You must rest," said {N}. "I know what to do."'],
      ['{N} went to the kitchen and came back with {cure}.', '{^he} went home and brought {cure}.'],
      ['{^he} also gave {fhim} {gift}.', 'And {he} had something else for {fhim}: {gift}.'],
      [
        '{N} sat by the bed all day and told funny stories.',
        'In the evening, {N} sang a soft song.',
        'They played a quiet game until it was dark.',
      ],
      ['After three days, {F} was well again.', 'The next morning, {F} felt much better.'],
      ['"You are the best doctor," said {F}.', '"When you are sick, I will come to you," said {F}.'],
    ],
    mood: 'calm',
    morals: ['A visit is the best medicine.', 'Friends take care of each other.'],
    asks: [
      ['What was wrong with {F}?', '{fhe} had {ill}', '{ill}'],
      ['What did {N} bring?', '{cure}'],
      ['What was the gift?', '{gift}'],
      ['Who was sick?', '{F}'],
    ],
  },
];
