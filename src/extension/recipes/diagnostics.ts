// The problems of an open recipe, all at once, at the lines where they stand: the same validation that a start makes.
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import type { Problem } from '../../protocol/errors';
import { reportOf } from '../report';

const quietMs = 150;
const recipePattern = /\.lora\.(ya?ml|json)$/i;

export class RecipeDiagnostics implements vscode.Disposable {
  readonly #collection = vscode.languages.createDiagnosticCollection('lora-workbench');
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #subscription: vscode.Disposable;

  constructor(private readonly log: vscode.LogOutputChannel) {
    const { workspace } = vscode;
    this.#subscription = vscode.Disposable.from(
      this.#collection,
      workspace.onDidOpenTextDocument((document) => this.#soon(document)),
      workspace.onDidChangeTextDocument(({ document }) => this.#soon(document)),
      workspace.onDidSaveTextDocument((document) => this.#soon(document)),
      workspace.onDidCloseTextDocument(({ uri }) => this.#collection.delete(uri)),
    );
    for (const document of workspace.textDocuments) this.#soon(document);
  }

  dispose(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#subscription.dispose();
  }

  #soon(document: vscode.TextDocument): void {
    if (document.uri.scheme !== 'file' || !recipePattern.test(document.fileName)) return;
    const key = document.uri.toString();
    clearTimeout(this.#timers.get(key));
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        void this.#check(document);
      }, quietMs),
    );
  }

  async #check(document: vscode.TextDocument): Promise<void> {
    const { version } = document;
    try {
      const { checkRecipe } = await import('../engineParts');
      const problems = checkRecipe(
        document.getText(),
        basename(document.fileName),
        dirname(document.fileName),
      );
      if (document.isClosed || document.version !== version) return;
      this.#collection.set(
        document.uri,
        problems.map((problem) => diagnosticOf(problem, document)),
      );
    } catch (cause) {
      this.log.error(reportOf(cause).message);
    }
  }
}

/** `file.lora.yaml:3` → line 3, from its first to its last letter. */
function diagnosticOf({ where, message, remedy }: Problem, document: vscode.TextDocument): vscode.Diagnostic {
  const number = Number(/:(\d+)$/.exec(where)?.[1] ?? 1);
  const line = document.lineAt(Math.min(Math.max(0, number - 1), document.lineCount - 1));
  const range = new vscode.Range(
    line.lineNumber,
    line.firstNonWhitespaceCharacterIndex,
    line.lineNumber,
    line.text.length,
  );
  const diagnostic = new vscode.Diagnostic(range, remedy === undefined ? message : `${message}\n${remedy}`);
  diagnostic.source = 'LoRA Workbench';
  return diagnostic;
}
