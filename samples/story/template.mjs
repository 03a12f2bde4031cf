// A sentence with slots and the facts of a story come in, a finished sentence goes out. A slot that has no fact is an error.

/** The indefinite article by the first letter; no word of ours breaks the rule. */
export function withArticle(phrase) {
  return `${/^[aeiou]/i.test(phrase) ? 'an' : 'a'} ${phrase}`;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * Fills `{fact}`; `{a fact}` adds the article and `{^fact}` or `{^a fact}` a capital letter.
 * Facts may hold slots themselves. Throws on an unknown fact.
 */
export function fill(template, facts) {
  return template.replace(/\{(\^?)(a )?(\w+)\}/g, (slot, upper, article, name) => {
    const value = facts[name];
    if (typeof value !== 'string') throw new Error(`The slot ${slot} of "${template}" has no fact.`);
    const plain = fill(value, facts);
    const phrase = article ? withArticle(plain) : plain;
    return upper ? capital(phrase) : phrase;
  });
}
