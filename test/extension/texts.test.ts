// What a person reads in the editor's own questions and messages goes through l10n, and the bundle holds each such text.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : path.endsWith('.ts') ? [path] : [];
  });
}

const calls =
  /\b(?:show(?:Information|Warning|Error)Message|showQuickPick|showInputBox|showOpenDialog|showSaveDialog)\(/g;
/** Properties of their options and of entries that are words. */
const words = /^(title|placeHolder|prompt|label|detail|openLabel|saveLabel)$/;

const literal = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

/** The arguments of a call that opens at `start`, to its closing bracket. */
function argumentsAt(text: string, start: number): string {
  let depth = 1;
  let at = start;
  for (; at < text.length && depth > 0; at++) {
    const character = text[at]!;
    if (/['"`]/.test(character)) {
      const own = new RegExp(literal.source, 'y');
      own.lastIndex = at;
      at += Math.max(0, (own.exec(text)?.[0].length ?? 1) - 1);
    } else if (character === '(') depth++;
    else if (character === ')') depth--;
  }
  return text.slice(start, at - 1);
}

/** The arguments with every call of l10n.t blanked out. */
function withoutSpoken(text: string): string {
  const match = /\bl10n\s*\.t\(/.exec(text);
  if (match === null) return text;
  const start = match.index + match[0].length;
  const own = argumentsAt(text, start);
  return withoutSpoken(text.slice(0, match.index) + text.slice(start + own.length + 1));
}

/** Literals that are said as they stand. */
function rawTexts(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  const raw: string[] = [];
  for (const match of text.matchAll(calls)) {
    const given = withoutSpoken(argumentsAt(text, match.index + match[0].length));
    for (const found of given.matchAll(literal)) {
      const key = /(\w+)\??:\s*$/.exec(given.slice(0, found.index))?.[1];
      // A name in its own letters is no text to translate; options have values that are no words.
      if ((key === undefined || words.test(key)) && /[a-z]{2,} [a-z]/i.test(found[0]))
        raw.push(`${path}:${text.slice(0, match.index).split('\n').length} ${found[0]}`);
    }
  }
  return raw;
}

test('no question and no message of the editor holds a raw text', () => {
  assert.deepEqual(sources('src/extension').flatMap(rawTexts), []);
});

test('the bundle holds the texts of the code, and no text is shown that goes past it', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/texts.mjs', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('the manifest names the folder of the bundle', () => {
  assert.equal(JSON.parse(readFileSync('package.json', 'utf8')).l10n, './l10n');
});

test('the manifest names its words, and package.nls.json holds each of them and no other', () => {
  const named = new Set<string>();
  const bare: string[] = [];
  const look = (value: unknown, key: string): void => {
    if (typeof value === 'string') {
      const name = /^%(.+)%$/.exec(value)?.[1];
      if (name !== undefined) named.add(name);
      else if (/^(title|description|markdownDescription|displayName|label|name|contents)$/.test(key))
        bare.push(value);
    } else if (typeof value === 'object' && value !== null)
      for (const [own, inner] of Object.entries(value)) look(inner, Array.isArray(value) ? key : own);
  };
  const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
  look([manifest.contributes, manifest.capabilities], '');
  const words = JSON.parse(readFileSync('package.nls.json', 'utf8')) as Record<string, string>;
  assert.deepEqual([...named].sort(), Object.keys(words).sort());
  assert.deepEqual([...new Set(bare)], ['LoRA Workbench'], 'only the name of the product is no word');
});
