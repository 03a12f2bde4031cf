// The playground's panel: one model, kept loaded in a trainer process of its own, and the adapters that may be put on it. The
// process starts with the first prompt and ends with the panel.
import * as vscode from 'vscode';
import type {
  PlaygroundContract,
  PlaygroundSession,
  PlaygroundState,
  SayRequest,
} from '../../protocol/panels/playground';
import type { OpenSessionResult, SayResult } from '../../protocol/trainer';
import type { TrainerClient } from '../../trainer/client';
import { reportOf } from '../report';
import type { Services } from '../services';
import { formatLoss } from '../words';
import type { AdapterItem } from '../workspace/items';
import { type Channel, openChannel, pageHtml, tabIcon, webviewOptions } from './host';

const { l10n } = vscode;

/** As a recipe names them. */
const devices = ['auto', 'cpu', 'cuda', 'webgpu'];

export const playgroundViewType = 'loraWorkbench.playground';

const closed: PlaygroundSession = {
  state: 'closed',
  weightBytes: 0,
  hasChatTemplate: false,
  positions: 0,
  error: null,
};

export interface PlaygroundTarget {
  model?: string | undefined;
  adapters: readonly string[];
}

export class PlaygroundPanel implements vscode.Disposable {
  static #open: PlaygroundPanel | undefined;

  readonly #channel: Channel<PlaygroundContract>;
  readonly #subscriptions: vscode.Disposable[];
  #client: TrainerClient | undefined;
  #session: OpenSessionResult | undefined;
  #told: PlaygroundSession = closed;
  #device = 'auto';
  #model: string | null = null;
  #adapter: string | null = null;
  /** Calls follow one another: a process writes one text at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #stops = 0;

  /** Opens the playground, or turns the open one to a model and an adapter. */
  static show(target: PlaygroundTarget, services: Services): void {
    if (PlaygroundPanel.#open === undefined) {
      const panel = vscode.window.createWebviewPanel(
        playgroundViewType,
        l10n.t('Playground'),
        vscode.ViewColumn.Active,
        { ...webviewOptions(services), retainContextWhenHidden: true },
      );
      PlaygroundPanel.#open = new PlaygroundPanel(panel, services);
    } else PlaygroundPanel.#open.panel.reveal();
    PlaygroundPanel.#open.#turnTo(target);
  }

  /** Fills the panel that the editor brings back after a reload. `state` is what its page kept. */
  static restore(panel: vscode.WebviewPanel, state: unknown, services: Services): void {
    if (PlaygroundPanel.#open !== undefined) {
      panel.dispose();
      return;
    }
    panel.webview.options = webviewOptions(services);
    PlaygroundPanel.#open = new PlaygroundPanel(panel, services);
    const { models, adapters } = services.library.contents;
    const kept = (key: 'model' | 'adapter'): unknown =>
      typeof state === 'object' && state !== null ? (state as Record<string, unknown>)[key] : undefined;
    const adapter = adapters.find(({ folder }) => folder === kept('adapter'));
    PlaygroundPanel.#open.#turnTo({
      model: models.find(({ folder }) => folder === kept('model'))?.folder,
      adapters: adapter === undefined ? [] : [adapter.folder],
    });
  }

  private constructor(
    private readonly panel: vscode.WebviewPanel,
    private readonly services: Services,
  ) {
    const { webview } = panel;
    panel.iconPath = tabIcon(services);
    panel.onDidDispose(() => this.dispose());
    this.#channel = openChannel<PlaygroundContract>(webview, services, {
      say: (request) => this.#say(request),
      stop: () => {
        this.#stops++;
        this.#client?.control('cancel');
        return undefined;
      },
      setModel: ({ folder }) => {
        if (this.services.library.contents.models.some((model) => model.folder === folder))
          this.#setModel(folder);
        return undefined;
      },
      setDevice: ({ device }) => {
        if (!devices.includes(device) || device === this.#device) return undefined;
        this.#device = device;
        this.#close();
        this.#pushState();
        this.#tell(closed);
        return undefined;
      },
      inspect: async ({ folder }) => {
        const known = this.services.library.contents.adapters.some((adapter) => adapter.folder === folder);
        if (known) await this.services.panels.open('adapter', { path: folder });
        return undefined;
      },
      copy: async ({ text }) => {
        await vscode.env.clipboard.writeText(text);
        return undefined;
      },
    });
    webview.html = pageHtml(webview, services, { bundle: 'playground', title: l10n.t('Playground') });
    this.#subscriptions = [
      this.#channel,
      services.library.onDidChange(() => this.#pushState()),
      this.#channel.onReady(() => {
        this.#pushState();
        this.#channel.push('session', this.#told);
      }),
    ];
  }

  dispose(): void {
    if (PlaygroundPanel.#open === this) PlaygroundPanel.#open = undefined;
    this.#close();
    for (const item of this.#subscriptions) item.dispose();
  }

  #turnTo({ model, adapters }: PlaygroundTarget): void {
    const found = this.services.library.contents.adapters.find(({ folder }) => adapters.includes(folder));
    this.#adapter = adapters[0] ?? null;
    const wanted =
      model ?? found?.baseFolder ?? this.#model ?? this.services.library.contents.models[0]?.folder ?? null;
    if (wanted === null || wanted === this.#model) this.#pushState();
    else this.#setModel(wanted);
  }

  #setModel(folder: string): void {
    this.#close();
    this.#model = folder;
    this.#pushState();
    this.#tell(closed);
  }

  #close(): void {
    if (this.#client !== undefined) {
      this.#client.control('cancel');
      this.services.calls.release(this.#client);
    }
    this.#client = undefined;
    this.#session = undefined;
  }

  /** The process ended by itself between two prompts: the texts stay, and the model can be loaded again. */
  #lost(client: TrainerClient): void {
    // What was under way told its own reason, a little later than this.
    setTimeout(() => {
      if (client !== this.#client) return;
      this.#close();
      const error = {
        code: 'trainer-died' as const,
        message: l10n.t('The process that held the model has ended.'),
        remedy: l10n.t('Load the model again; if that happens often, memory may be short.'),
      };
      this.#tell({ ...closed, state: 'failed', error });
    });
  }

  #tell(session: PlaygroundSession): void {
    this.#told = session;
    this.#channel.push('session', session);
  }

  #pushState(): void {
    const { models, adapters } = this.services.library.contents;
    const state: PlaygroundState = {
      models: models.map(({ folder, name }) => ({ folder, name })),
      model: this.#model,
      adapters: adapters
        .map((item) => ({
          folder: item.folder,
          name: item.name,
          detail: this.#detail(item),
          refusal: this.#refusal(item),
        }))
        .sort((a, b) => Number(a.refusal !== undefined) - Number(b.refusal !== undefined)),
      adapter: this.#adapter,
      device: this.#device,
      devices,
    };
    this.#channel.push('state', state);
  }

  #detail({ peftType, rank, run, baseFolder }: AdapterItem): string {
    const record = run === undefined ? undefined : this.services.runs.get(run);
    const loss =
      record?.evalLoss !== undefined
        ? l10n.t('eval {0}', formatLoss(record.evalLoss))
        : record?.loss !== undefined
          ? l10n.t('loss {0}', formatLoss(record.loss))
          : '';
    const base = baseFolder === undefined ? l10n.t('base unknown') : '';
    return [`${peftType === 'LORA' ? 'LoRA' : peftType}${rank === undefined ? '' : ` r${rank}`}`, loss, base]
      .filter(Boolean)
      .join(', ');
  }

  #refusal({ problems, baseFolder, baseMatch }: AdapterItem): string | undefined {
    if (problems.length > 0) return problems[0];
    if (baseFolder !== undefined && baseFolder !== this.#model) return l10n.t('trained on another base');
    if (baseFolder === this.#model && baseMatch === 'mismatch') return l10n.t('trained on other weights');
    return undefined;
  }

  #say(request: SayRequest): Promise<SayResult> {
    const stops = this.#stops;
    const next = this.#queue.then(() => this.#sayNow(request, stops));
    this.#queue = next.catch(() => {});
    return next;
  }

  async #sayNow(request: SayRequest, stops: number): Promise<SayResult> {
    const { side, adapter, ...rest } = request;
    if (stops !== this.#stops) return { ...nothing, prompt: request.prompt };
    const { client, session } = await this.#opened();
    if (stops !== this.#stops) return { ...nothing, prompt: request.prompt };
    try {
      return await client.request(
        'say',
        { ...rest, session: session.session, adapters: adapter === null ? [] : [adapter] },
        (event) => {
          if (event.type === 'token')
            this.#channel.push('token', {
              side,
              text: event.text,
              probability: event.probability,
              alternatives: event.alternatives ?? [],
            });
          else if (event.type === 'warning') this.#channel.push('warning', { message: event.message });
        },
      );
    } catch (cause) {
      const error = reportOf(cause);
      if (error.code === 'trainer-died' && client === this.#client) {
        this.#close();
        this.#tell({ ...closed, state: 'failed', error });
      }
      throw cause;
    }
  }

  async #opened(): Promise<{ client: TrainerClient; session: OpenSessionResult }> {
    if (this.#client !== undefined && this.#session !== undefined)
      return { client: this.#client, session: this.#session };
    if (this.#model === null) throw new Error(l10n.t('Choose a model first.'));
    this.#tell({ ...closed, state: 'loading' });
    let client: TrainerClient | undefined;
    try {
      client = this.services.calls.open();
      this.#client = client;
      const session = await client.request('openSession', {
        model: this.#model,
        device: this.#device,
        threads: 0,
      });
      if (client !== this.#client) throw new Error(l10n.t('The model was changed.'));
      this.#session = session;
      const opened = client;
      void opened.ended.then(() => this.#lost(opened));
      const { weightBytes, hasChatTemplate, positions } = session;
      this.#tell({ state: 'open', weightBytes, hasChatTemplate, positions, error: null });
      return { client, session };
    } catch (cause) {
      if (client === this.#client) {
        this.#close();
        this.#tell({ ...closed, state: 'failed', error: reportOf(cause) });
      }
      throw cause;
    }
  }
}

const nothing: Omit<SayResult, 'prompt'> = {
  text: '',
  tokens: 0,
  finishReason: 'cancelled',
  promptTokens: 0,
  swapMilliseconds: 0,
  tokensPerSecond: null,
};
