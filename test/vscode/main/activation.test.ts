// Activation is light, and everything that package.json names is there.
import assert from 'node:assert/strict';
import { suite, test } from 'mocha';
import * as vscode from 'vscode';
import manifest from '../../../package.json';
import texts from '../../../package.nls.json';
import type { Api } from '../../../src/extension/extension';

const loaded = (): string[] => Object.keys(require.cache);

suite('activation', () => {
  test('loads neither the engine nor native code', async () => {
    const found = vscode.extensions.getExtension<Api>('lora-workbench.lora-workbench');
    assert.ok(found, 'the extension is installed');
    const { activationMs } = await found.activate();
    console.log(`activated in ${activationMs.toFixed(1)} ms`);
    // The first look around comes after activation and needs the engine only for a fingerprint.
    assert.deepEqual(
      loaded().filter((path) => /koffi|onnxruntime|\.node$/.test(path)),
      [],
    );
  });

  test('registers every command that package.json names, and no other', async () => {
    const registered = (await vscode.commands.getCommands(true)).filter(
      // VS Code itself adds commands for views (focus, open …).
      (id) => id.startsWith('loraWorkbench.') && !/^loraWorkbench\.(runs|adapters|models)\./.test(id),
    );
    const named = manifest.contributes.commands.map(({ command }) => command);
    assert.deepEqual(registered.sort(), named.sort());
  });

  test('every text of package.json is in package.nls.json, and each of those is used', () => {
    const used = [...JSON.stringify(manifest).matchAll(/%([\w.]+)%/g)].map(([, key]) => key!);
    assert.deepEqual([...new Set(used)].sort(), Object.keys(texts).sort());
  });

  test('declares where it runs and what it does where nothing is trusted', () => {
    assert.deepEqual(manifest.extensionKind, ['workspace']);
    const { supported, restrictedConfigurations } = manifest.capabilities.untrustedWorkspaces;
    assert.equal(supported, 'limited');
    const settings = Object.keys(manifest.contributes.configuration.properties);
    for (const setting of restrictedConfigurations) assert.ok(settings.includes(setting), setting);
  });
});
