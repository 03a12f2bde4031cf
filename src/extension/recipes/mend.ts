// From a run back to its recipe: finds the file that the run was started from, changes it and opens its form.
import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import type { RecipeEdit } from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';
import type { RunRecord } from '../runs/runRecord';
import type { Services } from '../services';

/** The recipe that a run keeps; undefined where it keeps none that can be read. */
export async function recipeOfRun({ folder }: RunRecord): Promise<Recipe | undefined> {
  if (folder === undefined) return undefined;
  const { loadRecipe, catalogue } = await import('../engineParts');
  try {
    return loadRecipe(join(folder, 'recipe.yaml'), catalogue, []).recipe;
  } catch {
    return undefined;
  }
}

/** Makes edits in a run's recipe, unsaved, and shows it as a form. */
export async function openFormWith(
  run: RunRecord,
  edits: readonly RecipeEdit[],
  services: Services,
): Promise<void> {
  const file = await recipeFile(run, services);
  if (file === undefined) throw new Error(vscode.l10n.t('{0} keeps no recipe that can be read.', run.name));
  const { editRecipe, settingOrder, smallestChange } = await import('../engineParts');
  const document = await vscode.workspace.openTextDocument(file);
  const before = document.getText();
  const after = editRecipe(before, /\.json$/i.test(file), edits, settingOrder());
  if (after !== before) {
    const { start, end, text } = smallestChange(before, after);
    const edit = new vscode.WorkspaceEdit();
    edit.replace(document.uri, new vscode.Range(document.positionAt(start), document.positionAt(end)), text);
    await vscode.workspace.applyEdit(edit);
  }
  await services.panels.open('configure', { recipe: file });
}

/** The recipe in the workspace whose runs lie where this one does; else a copy of the one that the run keeps, beside it. */
async function recipeFile(run: RunRecord, services: Services): Promise<string | undefined> {
  const own = await recipeOfRun(run);
  if (own === undefined || run.folder === undefined) return undefined;
  if (!services.library.ready) await services.library.refresh();
  const { loadRecipe, catalogue } = await import('../engineParts');
  for (const { file } of services.library.contents.recipes) {
    try {
      if (loadRecipe(file, catalogue, []).recipe.output_dir === own.output_dir) return file;
    } catch {
      // A recipe with mistakes started no run.
    }
  }
  const copy = join(run.folder, '..', `${basename(run.folder)}.lora.yaml`);
  await copyFile(join(run.folder, 'recipe.yaml'), copy);
  return copy;
}
