// Adapters made out of others, and the sample's copy, from the commands to the files.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { suite, suiteSetup, test } from 'mocha';
import * as vscode from 'vscode';
import { peftConfig } from '../../../src/engine/adapters/peftConfig';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { readSafetensors, readTensor, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import type { Api } from '../../../src/extension/extension';
import type { ConvertResult, ExtractResult, ResizeResult } from '../../../src/protocol/trainer';
import { at, extension, until } from '../support';

suite('adapters out of adapters', () => {
  let api: Api;
  suiteSetup(async () => {
    api = await extension();
  });
  const config = (folder: string) => JSON.parse(readFileSync(`${folder}/adapter_config.json`, 'utf8'));
  const run = <T>(name: string, target: object): Thenable<T> =>
    vscode.commands.executeCommand<T>(`loraWorkbench.${name}`, target);

  test('an adapter is converted, resized and compared, and the tree shows the new ones', async () => {
    const folder = at('adapters/fits');
    const values = (count: number, seed: number) =>
      Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 3.7 * i) / 10);
    await writeAdapterFolder(folder, {
      config: peftConfig('LORA', {
        base_model_name_or_path: at('models/tiny'),
        task_type: 'CAUSAL_LM',
        r: 4,
        lora_alpha: 8,
        target_modules: ['q_proj', 'o_proj'],
      }),
      tensors: [0, 1].flatMap((layer) =>
        ['q_proj', 'o_proj'].flatMap((name) => {
          const path = `base_model.model.model.layers.${layer}.self_attn.${name}`;
          return [
            { name: `${path}.lora_A.weight`, shape: [4, 32], data: values(128, layer + 1) },
            { name: `${path}.lora_B.weight`, shape: [32, 4], data: values(128, layer + 5) },
          ];
        }),
      ),
    });
    await api.services.library.refresh();
    const before = config(folder);
    const converted = at('adapters/fits-rslora');
    const first = await run<ConvertResult>('convertAdapter', { folder, type: 'rslora', out: converted });
    assert.ok(first.modules > 0);
    assert.equal(config(converted).use_rslora, true);
    const resized = at('adapters/fits-r1');
    const second = await run<ResizeResult>('resizeAdapter', { folder, rank: 1, out: resized });
    assert.equal(config(resized).r, 1);
    assert.ok(before.r > 1 && second.relativeError >= 0 && second.relativeError < 1);
    const items = await until('the tree knows them', () => {
      const { adapters } = api.services.library.contents;
      const found = adapters.filter((adapter) => [converted, resized].includes(adapter.folder));
      return found.length === 2 && found;
    });
    // Both carry the fingerprint of the base that lies in the workspace.
    assert.deepEqual(
      items.map(({ baseMatch }) => baseMatch),
      ['match', 'match'],
    );

    const uri = await run<vscode.Uri>('compareAdapters', { folders: [folder, converted, resized] });
    const text = (await vscode.workspace.openTextDocument(uri)).getText();
    assert.match(text, /use_rslora/);
    assert.match(text, /fits\\-rslora/);
    assert.match(text, /φ\(A\) 1–3/);
    // The conversion is the same update.
    assert.match(text, /\| 1\.00 \|/);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  test('a LoRA is extracted from a fine-tuned model', async () => {
    const [model, tuned, out] = [at('models/tiny'), at('models/tuned'), at('adapters/extracted')];
    cpSync(model, tuned, { recursive: true });
    const changed = 'model.layers.0.self_attn.q_proj.weight';
    const { tensors } = await readSafetensors(`${model}/model.safetensors`);
    await writeSafetensors(
      `${tuned}/model.safetensors`,
      await Promise.all(
        [...tensors].map(async ([name, ref]) => {
          const values = (await readTensor(ref)).slice();
          // A rank of one: u·vᵀ.
          const columns = ref.shape.at(-1)!;
          const data =
            name === changed
              ? values.map((value, i) => value + Math.sin(Math.floor(i / columns)) * Math.cos(i % columns))
              : values;
          return { name, shape: ref.shape, dtype: 'F32' as const, data };
        }),
      ),
      { format: 'pt' },
    );
    const target = { kind: 'model', folder: tuned, model, rank: 2, out };
    const result = await run<ExtractResult>('extractAdapter', target);
    assert.deepEqual(
      result.modules.map(({ path }) => `${path}.weight`),
      [changed],
    );
    assert.ok(result.relativeError < 1e-4, `${result.relativeError}`);
    assert.deepEqual(result.unheld, []);
    assert.equal(config(out).r, 2);
    rmSync(tuned, { recursive: true });
    // The trees that are tested next see the workspace as it was.
    await api.services.library.refresh();
  });

  test('the sample is copied whole, once, and nothing that makes it', async () => {
    const folder = await vscode.commands.executeCommand<string>(
      'loraWorkbench.openSampleWorkspace',
      vscode.Uri.file(at('copies')),
    );
    for (const name of ['pirate.lora.yaml', 'base/model.safetensors', 'data/pirate.train.jsonl'])
      assert.ok(existsSync(`${folder}/${name}`), name);
    for (const name of ['make-sample.mjs', 'story', 'pretrain.lora.yaml'])
      assert.ok(!existsSync(`${folder}/${name}`), name);
    assert.equal(
      await vscode.commands.executeCommand(
        'loraWorkbench.openSampleWorkspace',
        vscode.Uri.file(at('copies')),
      ),
      folder,
    );
  });
});
