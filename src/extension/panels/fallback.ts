// Editors for panels that have no page of their own: plain text in the theme's colours.
import * as vscode from 'vscode';
import { escapeHtml } from '../webviews/host';

/** A page of plain text, without scripts. */
export function textPage(title: string, text: string): string {
  return `<!doctype html><html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title></head>
<body><main><h1 style="font-size:1.2em">${escapeHtml(title)}</h1><pre style="white-space:pre-wrap;font-family:var(--vscode-editor-font-family)">${escapeHtml(text)}</pre></main></body></html>`;
}

/** A custom text editor that shows the document's text. */
export function fallbackTextEditor(viewType: string): vscode.Disposable {
  return vscode.window.registerCustomEditorProvider(viewType, {
    resolveCustomTextEditor(document: vscode.TextDocument, panel: vscode.WebviewPanel): void {
      const show = (): void => {
        panel.webview.html = textPage(document.fileName, document.getText());
      };
      show();
      const changes = vscode.workspace.onDidChangeTextDocument((event) => {
        if (event.document === document) show();
      });
      panel.onDidDispose(() => changes.dispose());
    },
  });
}

/** A read-only custom editor that shows what `describe` says of the file. */
export function fallbackReadonlyEditor(
  viewType: string,
  describe: (path: string) => Promise<string>,
): vscode.Disposable {
  return vscode.window.registerCustomEditorProvider(viewType, {
    openCustomDocument: (uri: vscode.Uri): vscode.CustomDocument => ({ uri, dispose() {} }),
    async resolveCustomEditor(document: vscode.CustomDocument, panel: vscode.WebviewPanel): Promise<void> {
      const path = document.uri.fsPath;
      panel.webview.html = textPage(path, vscode.l10n.t('Reading…'));
      const text = await describe(path).catch((cause: unknown) => (cause as Error).message);
      panel.webview.html = textPage(path, text);
    },
  });
}

/** Shows text in an editor of its own. */
export async function showText(text: string, language = 'plaintext'): Promise<void> {
  const document = await vscode.workspace.openTextDocument({ content: text, language });
  await vscode.window.showTextDocument(document, { preview: true });
}
