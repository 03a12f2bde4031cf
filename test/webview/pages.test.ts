// Every page in the editor's language: with a translation that marks all texts, nothing unmarked is left but what comes from
// files; with a translation into another language a page speaks it; without one it speaks English.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pageTexts } from '../../src/extension/webviews/pageTexts';
import { openTestPage, type TestPage } from './browser/page';
import { adapter } from './browser/told/adapter';
import { configure } from './browser/told/configure';
import { lens } from './browser/told/lens';
import { playground } from './browser/told/playground';
import { plan, run } from './browser/told/run';
import type { Told } from './browser/told/told';

/** Parts that are set as code or in bold are marked by themselves. */
function mark(text: string): string {
  return text.replace(/[^`]+/g, '⟦$&⟧');
}

const english = JSON.parse(readFileSync('l10n/bundle.l10n.json', 'utf8')) as Record<string, string>;
const marked = {
  language: 'en',
  bundle: Object.fromEntries(Object.keys(english).map((text) => [text, mark(text)])),
};

/** Units, keys and what stands so in recipes and files. */
const noLanguage = new Set([
  ...['GiB', 'MiB', 'KiB', 'min', 'Ctrl', 'Enter', 'CSV', 'PNG', 'fp32', 'ΔW', 'ab'],
  ...['all-linear', 'device', 'cuda', 'seed', 'temperature'],
]);

/** Latin words outside of marks; names with an underscore are code. */
function unmarked(text: string): string[] {
  let rest = text;
  for (let before = ''; before !== rest; ) {
    before = rest;
    rest = rest.replace(/⟦[^⟦⟧]*⟧/g, ' ');
  }
  const words = rest.match(/[\p{L}\p{N}_]+(?:-\p{L}+)*/gu) ?? [];
  return words.filter((word) => /[A-Za-z]{2}/.test(word) && !word.includes('_') && !noLanguage.has(word));
}

/** Tells a page everything, and what a person can do without a pointer; hears it after every step. */
async function hear(page: TestPage, { news }: Told): Promise<Set<string>> {
  const heard = new Set<string>();
  const listen = (): void => {
    for (const text of page.said()) heard.add(text);
  };
  listen();
  for (const [type, content] of news) {
    await page.tell(type, content);
    listen();
  }
  return heard;
}

/** Does something with every element of a kind, lets the page draw, and listens. */
async function use(page: TestPage, action: string, selector: string, heard: Set<string>): Promise<void> {
  for (const element of page.document.body.querySelectorAll(selector)) {
    if (element.tagName === 'textarea') Object.assign(element, { value: 'x' });
    element.dispatch(action);
    await new Promise((done) => setTimeout(done, 5));
    for (const text of page.said()) heard.add(text);
  }
}

const uses: Record<string, (readonly [action: string, selector: string])[]> = {
  adapter: [
    ['click', '[role="radio"]'],
    ['click', '.bc-toggle'],
    ['click', '[role="gridcell"]'],
  ],
  run: [
    ['click', '[role="tab"]'],
    ['click', '#tab-charts'],
    ['open', 'details'],
  ],
  lens: [
    ['click', '.lw-chip'],
    ['click', '.bc-toggle'],
    ['click', '.link'],
    ['mouseover', '.tk'],
  ],
  playground: [
    ['input', 'textarea'],
    ['click', 'vscode-button'],
    ['mouseover', '.pk'],
  ],
  configure: [['click', 'vscode-button']],
};

const pages = { configure, run, adapter, lens, playground };

for (const [name, given] of Object.entries(pages))
  test(`${name}: all that the page says goes through the translation`, async () => {
    const page = await openTestPage(name, marked, given.answers);
    const heard = await hear(page, given);
    // Once more with the first news: what is pressed needs a page that is whole.
    for (const [type, content] of given.news.slice(0, 5)) await page.tell(type, content);
    for (const [action, selector] of uses[name]!) await use(page, action, selector, heard);
    assert.deepEqual(page.faults, []);
    assert.ok([...heard].filter((text) => text.includes('⟦')).length > 25, 'the page speaks');
    assert.deepEqual(
      [...heard].filter((text) => unmarked(text).length > 0),
      [],
    );
  });

test('a translation is spoken by the page, with the numbers of its language; what it lacks stays English', async () => {
  const german = {
    language: 'de',
    bundle: {
      'Running, step {0} of {1}': 'Läuft, Schritt {0} von {1}',
      'epoch {0} of {1}': 'Epoche {0} von {1}',
      '{0}, {1} of {2} parameters train': '{0}; von {2} Parametern lernen {1}',
      '{0} M': '{0} Mio.',
      '{0} B': '{0} Mrd.',
      'Eval loss': 'Verlust der Prüfung',
      'Loss by step': 'Verlust je Schritt',
      'Stop and save': 'Anhalten </script> und sichern',
    },
  };
  const page = await openTestPage('run', german, run.answers);
  const [, view] = run.news.find(([type, content]) => type === 'run' && 'step' in (content as object))!;
  await page.tell('run', { ...(view as object), state: 'running', step: 1012, totalSteps: 4000, plan });
  const said = page.said();
  const text = page.document.body.textContent;
  assert.match(text, /Läuft, Schritt 1\.012 von 4\.000, Epoche 1 von 200/);
  assert.match(text, /слово; von 3,00 Mrd\. Parametern lernen 2,0 Mio\./);
  assert.match(text, /0,60/, 'decimals have the comma');
  assert.ok(said.includes('Verlust der Prüfung'));
  assert.ok(said.includes('Anhalten </script> und sichern'), 'a text cannot end the element that holds it');
  assert.ok(said.includes('Checkpoint now'));
  assert.deepEqual(page.faults, []);
});

test('without a translation a page speaks English', async () => {
  const page = await openTestPage('run', { language: 'en', bundle: {} }, run.answers);
  const heard = await hear(page, run);
  for (const text of [
    'Running, step 12 of 40, epoch 1 of 2',
    'Paused at step 12',
    'слово, 2.0 M of 3.00 B parameters train; слово; 100 examples, 10 held out; batch 4; cuda:0, слово',
    'epoch 0.60',
    'step 2, best 1.400',
    'eval 1.500',
    ': ',
    'skipped, float16 overflowed; the loss scale is now 1024',
    '3 of 4 modules have pairs of their own; the others share 1 pair.',
    'Loss by step: 2 steps, training loss 1.800, evaluation loss 1.500 at step 2, finished.',
    'Measured 2.79 GiB, forecast 3.73 GiB',
    'Open form with max_length: 4',
  ])
    assert.ok(heard.has(text), `“${text}” is not said`);
  // A language that Intl does not know is no fault.
  const odd = await openTestPage('run', { language: 'x_y', bundle: {} }, run.answers);
  await odd.tell(...run.news[0]!);
  assert.deepEqual(odd.faults, []);
});

test('an editor whose language has no translation gets a page that is English altogether', () => {
  assert.deepEqual(pageTexts('de', undefined), { language: 'en', bundle: {} });
  assert.deepEqual(pageTexts('de', { a: 'b' }), { language: 'de', bundle: { a: 'b' } });
});
