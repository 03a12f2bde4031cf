// A folder that is not trusted: looking is allowed, starting is not.
import assert from 'node:assert/strict';
import { suite, test } from 'mocha';
import * as vscode from 'vscode';
import { extension, uri } from '../support';

suite('a folder that is not trusted', () => {
  test('shows adapters and runs', async () => {
    assert.equal(vscode.workspace.isTrusted, false);
    const { library, runs } = (await extension()).services;
    assert.ok(library.contents.adapters.some(({ name }) => name === 'good'));
    assert.ok(runs.all.length > 0);
  });

  test('opens an adapter', async () => {
    await vscode.commands.executeCommand('loraWorkbench.inspectAdapter', uri('adapters/good'));
    assert.ok(vscode.window.tabGroups.activeTabGroup.activeTab?.input instanceof vscode.TabInputCustom);
  });

  test('starts nothing', async () => {
    const { jobs, calls, runs } = (await extension()).services;
    for (const name of ['runRecipe', 'resumeRun', 'doctor', 'installCuda', 'newFineTune'])
      void vscode.commands.executeCommand(`loraWorkbench.${name}`, uri('tiny.lora.yaml'));
    await assert.rejects(
      jobs.start({ name: 'x', recipe: 'x', params: { recipe: {} as never, notes: [] } }),
      /not trusted/,
    );
    assert.throws(() => calls.open(), /not trusted/);
    assert.deepEqual(runs.live, []);
  });

  test('uses no configured path', async () => {
    const { settings } = (await extension()).services;
    assert.deepEqual(settings.folders, []);
    assert.equal(settings.nodePath, undefined);
    assert.equal(settings.hubCache, undefined);
    assert.deepEqual(settings.environment, {});
  });
});
