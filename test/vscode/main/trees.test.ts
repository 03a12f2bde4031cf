// What the sidebar shows of a workspace with good and broken things in it.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { suite, suiteSetup, test } from 'mocha';
import type { Api } from '../../../src/extension/extension';
import { AdaptersTree, badgeOf } from '../../../src/extension/views/adaptersTree';
import { ModelsTree } from '../../../src/extension/views/modelsTree';
import { RunsTree } from '../../../src/extension/views/runsTree';
import { scan } from '../../../src/extension/workspace/scan';
import { at, extension, until } from '../support';

suite('trees', () => {
  let api: Api;
  suiteSetup(async () => {
    api = await extension();
  });

  test('adapters stand under their base, each with what is wrong with it', () => {
    const tree = new AdaptersTree(api.services.library);
    const groups = tree.getChildren();
    const names = groups.map((group) => (group.kind === 'base' ? group.name : '?'));
    assert.deepEqual(names, ['some-model', 'tiny', 'Base unknown']);
    const expected = {
      elsewhere: '?',
      good: undefined,
      mismatched: '≠',
      'no-json': '!',
      'no-weights': '!',
      torn: '!',
    };
    // Suites before this one leave adapters of their own behind.
    const badges = Object.fromEntries(
      api.services.library.contents.adapters
        .filter(({ name }) => Object.hasOwn(expected, name))
        .map((adapter) => [adapter.name, badgeOf(adapter)?.letter]),
    );
    assert.deepEqual(badges, expected);
    const good = groups
      .flatMap((group) => tree.getChildren(group))
      .find((node) => node.kind === 'adapter' && node.name === 'good');
    const item = tree.getTreeItem(good!);
    assert.match(String(item.description), /^LoRA r4 · \d/);
    assert.equal(item.contextValue, 'adapter');
    tree.dispose();
  });

  test('a broken adapter tells what is wrong', () => {
    const problems = new Map(
      api.services.library.contents.adapters.map(({ name, problems }) => [name, problems.join(' ')]),
    );
    assert.match(problems.get('torn') ?? '', /header of \d+ bytes does not fit/);
    assert.match(problems.get('no-weights') ?? '', /it has 0 bytes/);
    assert.match(problems.get('no-json') ?? '', /adapter_config\.json cannot be read/);
  });

  test('models, datasets and recipes are found, and what lies in node_modules is not', () => {
    const tree = new ModelsTree(api.services.library);
    const { models, datasets, recipes, adapters } = api.services.library.contents;
    assert.deepEqual(
      models.map(({ name }) => name),
      ['tiny'],
    );
    assert.deepEqual(
      datasets.map(({ name }) => name),
      ['empty.jsonl', 'eval.jsonl', 'train.jsonl'],
    );
    assert.equal(recipes.length, 6);
    assert.ok(!adapters.some(({ folder }) => folder.includes('node_modules')));
    for (const group of tree.getChildren())
      for (const node of tree.getChildren(group)) assert.ok(tree.getTreeItem(node).label);
    tree.dispose();
  });

  test('a run that was killed is failed, with its step and loss; a log of rubbish is a run without events', () => {
    const old = api.services.runs.get(at('runs/old'));
    assert.equal(old?.state, 'failed');
    assert.equal(old?.step, 4);
    assert.equal(old?.loss, 0.75);
    assert.equal(old?.error?.code, 'trainer-died');
    assert.equal(api.services.runs.get(at('runs/garbage'))?.state, 'failed');
    const tree = new RunsTree(api.services.runs);
    const node = tree.getChildren().find((child) => child.kind === 'run' && child.id === old?.id);
    assert.equal(tree.getTreeItem(node!).contextValue, 'run.failed');
    assert.equal(tree.getChildren(node).length, 1);
    tree.dispose();
  });

  test('an adapter that comes and goes is seen without asking', async () => {
    const has = (): boolean => api.services.library.contents.adapters.some(({ name }) => name === 'late');
    mkdirSync(at('adapters/late'));
    writeFileSync(at('adapters/late/adapter_config.json'), '{"peft_type":"LORA","r":2}');
    await until('the new adapter is listed', has);
    rmSync(at('adapters/late'), { recursive: true });
    await until('the removed adapter is gone', () => !has());
  });

  test('a scan keeps its bound, and its time is told', async () => {
    const folder = at('many');
    for (let i = 0; i < 100; i++) {
      mkdirSync(`${folder}/${i}`, { recursive: true });
      for (let j = 0; j < 100; j++) writeFileSync(`${folder}/${i}/${j}.txt`, '');
    }
    const started = performance.now();
    const all = await scan([folder], { exclude: [], maximumEntries: 50_000 });
    console.log(`scanned ${all.entries} entries in ${(performance.now() - started).toFixed(0)} ms`);
    assert.equal(all.entries, 10_100);
    assert.equal(all.cut, false);
    const cut = await scan([folder], { exclude: [], maximumEntries: 1000 });
    assert.equal(cut.cut, true);
    assert.ok(cut.entries < 4000);
    rmSync(folder, { recursive: true });
  });
});
