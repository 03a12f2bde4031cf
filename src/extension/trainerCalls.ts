// Short calls to the engine in a child process: inspect, estimate, merge, evaluate, doctor. Each ends with its answer, and
// with this window at the latest.
import * as vscode from 'vscode';
import type { TrainerEvent, TrainerMethod, TrainerMethods } from '../protocol/trainer';
import { TrainerClient } from '../trainer/client';
import type { Settings } from './settings';
import { trainerEnvironment, trainerProgram } from './trainerProgram';

export interface CallOptions {
  onEvent?: (event: TrainerEvent) => void;
  token?: vscode.CancellationToken;
}

export class TrainerCalls implements vscode.Disposable {
  readonly #clients = new Set<TrainerClient>();

  constructor(
    private readonly settings: () => Settings,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** A trainer process of one's own, for a panel that keeps a model loaded. The caller closes it. */
  open(): TrainerClient {
    if (!vscode.workspace.isTrusted)
      throw new Error(vscode.l10n.t('Nothing is started in a folder that is not trusted.'));
    const settings = this.settings();
    const client = new TrainerClient({
      program: trainerProgram,
      onLog: (line) => this.log.debug(`trainer: ${line}`),
      env: trainerEnvironment(settings),
      ...(settings.nodePath === undefined ? {} : { execPath: settings.nodePath }),
    });
    this.#clients.add(client);
    return client;
  }

  release(client: TrainerClient): void {
    this.#clients.delete(client);
    client.close();
  }

  /** One call in a process of its own. @throws UserError, TrainerFault. */
  async call<M extends TrainerMethod>(
    method: M,
    params: TrainerMethods[M]['params'],
    { onEvent, token }: CallOptions = {},
  ): Promise<TrainerMethods[M]['result']> {
    const client = this.open();
    const cancelled = token?.onCancellationRequested(() => client.control('cancel'));
    try {
      return await client.request(method, params, onEvent);
    } finally {
      cancelled?.dispose();
      this.release(client);
    }
  }

  /** The same with a progress notification that can be cancelled: for calls that a person waits for. */
  callWithProgress<M extends TrainerMethod>(
    title: string,
    method: M,
    params: TrainerMethods[M]['params'],
  ): Thenable<TrainerMethods[M]['result']> {
    const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
    return vscode.window.withProgress(options, (progress, token) =>
      this.call(method, params, {
        token,
        onEvent: (event) => {
          if (event.type === 'progress') progress.report({ message: event.message });
        },
      }),
    );
  }

  dispose(): void {
    for (const client of this.#clients) client.close();
  }
}
