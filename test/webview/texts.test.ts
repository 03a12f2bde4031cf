// Texts of the panels in their source: one that a person reads and that goes past the translation is found wherever it comes from,
// and so is a call that no tool could read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { plural, t } from '../../webview/shared/texts';

interface Source {
  path: string;
}
interface Tools {
  bareTexts(sources: Source[]): string[];
  saidIn(source: Source): { texts: string[]; mistakes: string[] };
  withSources<T>(
    config: string,
    folder: string,
    use: (sources: Source[]) => T,
    changed?: Record<string, string>,
  ): T;
}

/** The scripts' own modules, as they are. */
async function tools(): Promise<Tools> {
  const load = (name: string): Promise<object> =>
    import(pathToFileURL(join(process.cwd(), 'scripts/texts', name)).href);
  return Object.assign(
    {},
    ...(await Promise.all(['bare.mjs', 'said.mjs', 'sources.mjs'].map(load))),
  ) as Tools;
}

const file = 'webview/run/table.ts';
const source = readFileSync(file, 'utf8');

async function bare(added: string): Promise<string[]> {
  const { bareTexts, withSources } = await tools();
  return withSources('tsconfig.webview.json', 'webview', bareTexts, { [file]: `${source}\n${added}` });
}

test('no panel shows a text that goes past the translation', async () => {
  assert.deepEqual(await bare(''), []);
});

const broken = {
  'a child of an element': "el('p', {}, 'words');",
  'a child in a list in a branch': "el('p', {}, [Math.random() > 1 ? ['words'] : null]);",
  'a template': `el('p', {}, \`\${Math.PI} words\`);`,
  textContent: "document.body.textContent = 'words';",
  innerText: "document.body.innerText = 'words';",
  'a label for screen readers': "el('p', { 'aria-label': 'words' });",
  'a label that is set': "document.body.setAttribute('aria-label', 'words');",
  'a title': "el('p', { title: 'words' });",
  'a placeholder': "el('input', { placeholder: 'words' });",
  'an alternative text': "el('img', { alt: 'words' });",
  'a constant': "const own = 'words';\nel('p', {}, own);",
  'what a function returns': "function own() { return 'words'; }\nel('p', {}, own());",
  'an argument that a function shows': "const own = (name: string) => el('p', {}, name);\nown('words');",
  'an argument that another file shows':
    "import { action } from '../shared/dom';\naction('words', () => undefined);",
  'an entry of a table': "const own = { a: 'words' };\nel('p', {}, own['a']);",
  'one of a list that is mapped': "el('p', {}, ['words'].map((name) => el('b', {}, name)));",
  'a value of a translated text': "el('p', {}, t('step {0}', Math.random() > 1 ? 'words' : 1));",
  'a sentence that goes nowhere': "export const own = 'Some words here';",
};
for (const [what, code] of Object.entries(broken))
  test(`found: ${what}`, async () => {
    const found = await bare(code);
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0]!, /^webview\/run\/table\.ts:\d+: “.*words.*” goes through neither t nor plural$/);
  });

test('units, code and classes are no texts', async () => {
  assert.deepEqual(
    await bare(`el('p', { class: 'some words' }, 'GiB', ' ≥ 4', \`max_length \${Math.PI}\`, el('b', {}));`),
    [],
  );
});

test('a call without a literal, or with more places than values, is refused', async () => {
  const { saidIn, withSources } = await tools();
  const code =
    "t(source);\nt('{0} of {1}', 1);\nplural(2, 'one', '{0} of {1}');\nplural(2, '1 row', '{0} rows');";
  const said = withSources(
    'tsconfig.webview.json',
    'webview',
    (sources) => saidIn(sources.find(({ path }) => path === file)!),
    { [file]: code },
  );
  assert.deepEqual(said.texts, ['{0} of {1}', 'one', '{0} of {1}', '1 row', '{0} rows']);
  assert.deepEqual(
    said.mistakes.map((mistake) => mistake.replace(/^.*table\.ts:/, '')),
    [
      '1: the text is no literal, so no tool finds it',
      '2: “{0} of {1}” has more places than values',
      '3: “{0} of {1}” has more places than values',
    ],
  );
});

test('outside of a page texts are English; values stand in their places', () => {
  assert.equal(t('{1} before {0}, {2} stays', 'a', 2), '2 before a, {2} stays');
  assert.equal(t('{0}', '{1}'), '{1}', 'a value is no text');
  assert.equal(plural(1, '1 row', '{0} rows'), '1 row');
  assert.equal(plural(1234, '1 row', '{0} rows of {1}', 'x'), '1,234 rows of x');
  assert.equal(t('toString'), 'toString', 'what objects have is no translation');
});
