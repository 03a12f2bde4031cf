// Recipes as tasks: `{ "type": "lora-workbench", "recipe": "x.lora.yaml" }` runs one in a terminal that shows its progress.
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import { runCommands } from '../commands/runs';
import { reportOf, reportText } from '../report';
import { isLive } from '../runs/runRecord';
import type { Services } from '../services';
import { shortState } from '../words';
import { startRecipe } from './start';

const type = 'lora-workbench';

interface RecipeTask extends vscode.TaskDefinition {
  recipe: string;
  set?: readonly string[];
  resume?: boolean;
}

export function registerTasks(services: Services): vscode.Disposable[] {
  const make = (definition: RecipeTask, folder: vscode.WorkspaceFolder): vscode.Task => {
    const path = isAbsolute(definition.recipe)
      ? definition.recipe
      : join(folder.uri.fsPath, definition.recipe);
    const execution = new vscode.CustomExecution(async () => new RecipeTerminal(path, definition, services));
    const name = definition.recipe;
    return new vscode.Task(definition, folder, name, 'LoRA Workbench', execution);
  };
  return [
    vscode.tasks.registerTaskProvider(type, {
      provideTasks: () =>
        services.library.contents.recipes.flatMap(({ file }) => {
          const folder = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(file));
          if (folder === undefined) return [];
          const recipe = vscode.workspace.asRelativePath(file, false);
          return [make({ type, recipe }, folder)];
        }),
      resolveTask: (task) => {
        const definition = task.definition as RecipeTask;
        const [first] = vscode.workspace.workspaceFolders ?? [];
        const folder = typeof task.scope === 'object' ? task.scope : first;
        if (folder === undefined || typeof definition.recipe !== 'string') return undefined;
        return make(definition, folder);
      },
    }),
  ];
}

/** A run in a terminal: lines of progress, Ctrl+C saves and stops, the exit code tells how it ended. */
class RecipeTerminal implements vscode.Pseudoterminal {
  readonly #wrote = new vscode.EventEmitter<string>();
  readonly onDidWrite = this.#wrote.event;
  readonly #closed = new vscode.EventEmitter<number>();
  readonly onDidClose = this.#closed.event;
  #subscription: vscode.Disposable | undefined;
  #job: string | undefined;
  #id: string | undefined;
  #last = '';

  constructor(
    private readonly path: string,
    private readonly definition: RecipeTask,
    private readonly services: Services,
  ) {}

  async open(): Promise<void> {
    if (!vscode.workspace.isTrusted)
      return this.#end(vscode.l10n.t('Nothing is started in a folder that is not trusted.'), 2);
    if (!existsSync(this.path)) return this.#end(vscode.l10n.t('There is no recipe {0}.', this.path), 2);
    const { runs, jobs } = this.services;
    this.#subscription = vscode.Disposable.from(
      runs.onDidChange((run) => {
        if (run === undefined || this.#job === undefined) return;
        if (run.job === this.#job) this.#id = run.id;
        if (run.id !== this.#id || !isLive(run.state)) return;
        const line = `${shortState(run)}${run.loss === undefined ? '' : `, loss ${run.loss.toFixed(3)}`}`;
        if (line !== this.#last) this.#line(line);
        this.#last = line;
      }),
      jobs.onDidEnd(({ run }) => {
        if (run.id !== this.#id) return;
        this.#end(
          run.error === undefined ? shortState(run) : reportText(run.error),
          run.state === 'finished' ? 0 : 1,
        );
      }),
    );
    try {
      const overrides = [
        ...(this.definition.set ?? []),
        ...(this.definition.resume ? ['resume_from_checkpoint=true'] : []),
      ];
      const run = await startRecipe(this.path, this.services, { overrides, open: false });
      this.#job = run.job;
      this.#id = run.id;
    } catch (cause) {
      this.#end(reportText(reportOf(cause)), 2);
    }
  }

  handleInput(data: string): void {
    if (data.includes('\u0003')) this.close();
  }

  /** The terminal was closed, or Ctrl+C pressed: save and stop. */
  close(): void {
    if (this.#id !== undefined) void runCommands.stopRun?.(this.services, { id: this.#id });
  }

  #line(text: string): void {
    this.#wrote.fire(`${text.replaceAll('\n', '\r\n')}\r\n`);
  }

  #end(text: string, code: number): void {
    this.#line(text);
    this.#subscription?.dispose();
    this.#id = undefined;
    this.#closed.fire(code);
  }
}
