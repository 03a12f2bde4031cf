// A random stream and a pronoun come in, a name goes out: half of them usual, half invented from syllables.
// With invented names a model cannot know the name by heart, so that it must learn to look it up in the text.

const usual = {
  he: 'Pip Tom Max Ben Finn Otto Hugo Leo Sam Gus Jack Oscar Rory Toby Will Zeke Quill Ned Ivo Noah Dan Ollie Fred'.split(
    ' ',
  ),
  she: 'Mia Lily Rosa Ella Daisy Nora Tilly Wren Hazel Ivy Poppy Luna Clara Bea Uma Kate Vera Dot Fern Maya Anna Sue'.split(
    ' ',
  ),
};
const beginnings = 'B D F G H J K L M N P R S T V W Z Br Gr Tr Fl Cl'.split(' ');
const vowels = 'a e i o u'.split(' ');
const middles = 'b d f g k l m n r s t v z ll nn rr'.split(' ');
/** The ending tells the pronoun; no ending serves both. */
const endings = {
  he: 'o in an us ek or um ik ton bo'.split(' '),
  she: 'a ia i ina elle ika ara una ette isa'.split(' '),
};

/** Beginnings that sound like an insult, a swear word or a real country or group. */
const unwelcome =
  /^(N[aei][gz]|Fag|Fuk|Kik|Di[kld]|Tit|Put|Suk|Su[dn]an|Jud|Rap|Vag|Kun|Gas|Trans|Nun|Tur[ik]|Rus|Sat[ai]n)/;

function inventName(random, pronoun) {
  for (;;) {
    const name = [beginnings, vowels, middles, endings[pronoun]].map((parts) => random.pick(parts)).join('');
    if (!unwelcome.test(name) && !usual.he.includes(name) && !usual.she.includes(name)) return name;
  }
}

/** A name for "he" or "she". */
export function pickName(random, pronoun) {
  return random.chance(0.5) ? random.pick(usual[pronoun]) : inventName(random, pronoun);
}
