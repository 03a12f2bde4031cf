// Writes a few settings into a recipe's file, as an edit of its document: it can be undone, and nothing else is touched.
import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { Remedy } from '../../protocol/panels/lens';

/** Makes the edits; a recipe that was saved is saved again. */
export async function writeToRecipe(path: string, edits: Remedy['edits']): Promise<void> {
  const { editRecipe, settingOrder, smallestChange } = await import('../engineParts');
  const document = await vscode.workspace.openTextDocument(vscode.Uri.file(path));
  const wasDirty = document.isDirty;
  const before = document.getText();
  const list = Object.entries(edits).map(([key, value]) => ({
    key,
    ...(value === undefined ? {} : { value }),
  }));
  const after = editRecipe(before, basename(path).endsWith('.json'), list, settingOrder());
  if (after === before) return;
  const { start, end, text } = smallestChange(before, after);
  const edit = new vscode.WorkspaceEdit();
  edit.replace(document.uri, new vscode.Range(document.positionAt(start), document.positionAt(end)), text);
  await vscode.workspace.applyEdit(edit);
  if (!wasDirty) await document.save();
}
