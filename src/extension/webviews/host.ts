// The extension's end of a panel: the page with a strict content security policy, requests answered by typed handlers, news
// pushed once the panel listens. It knows no single panel.
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { type Contract, isToExtension, type Params, type Result, type ToPanel } from '../../protocol/webview';
import { reportOf } from '../report';
import type { Services } from '../services';
import { pageTexts, textsBlock } from './pageTexts';

export type Handlers<C extends Contract> = {
  [M in keyof C['requests']]: (params: Params<C, M>) => Result<C, M> | Promise<Result<C, M>>;
};

export interface Channel<C extends Contract> extends vscode.Disposable {
  /** Tells the panel something; kept until it listens. */
  push<T extends keyof C['pushes'] & string>(type: T, content: C['pushes'][T]): void;
  /** Resolves once the panel listens, and again after each reload of its page through `onReady`. */
  readonly onReady: vscode.Event<void>;
}

export interface PageOptions {
  /** Name of the bundle: `dist/webview/<bundle>.js` and `.css`. */
  bundle: string;
  title: string;
}

/** What a panel may load: only what the extension itself brings. */
export function webviewOptions(services: Services): vscode.WebviewOptions & vscode.WebviewPanelOptions {
  const { extensionUri } = services.context;
  return {
    enableScripts: true,
    localResourceRoots: [
      vscode.Uri.joinPath(extensionUri, 'dist', 'webview'),
      vscode.Uri.joinPath(extensionUri, 'media'),
    ],
  };
}

/** Our icon in the colours of tabs. */
export function tabIcon({ context }: Services): { light: vscode.Uri; dark: vscode.Uri } {
  const file = (theme: string): vscode.Uri =>
    vscode.Uri.joinPath(context.extensionUri, 'media', `workbench-${theme}.svg`);
  return { light: file('light'), dark: file('dark') };
}

/** The page: no inline script, nothing from the network. */
export function pageHtml(
  webview: vscode.Webview,
  services: Services,
  { bundle, title }: PageOptions,
): string {
  const file = (name: string): string =>
    webview
      .asWebviewUri(vscode.Uri.joinPath(services.context.extensionUri, 'dist', 'webview', name))
      .toString();
  const texts = pageTexts(vscode.env.language, vscode.l10n.bundle);
  const nonce = randomBytes(16).toString('base64');
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}'`,
    // The toolkit's components and Chart.js set styles on elements.
    `style-src ${webview.cspSource} 'unsafe-inline'`,
    `font-src ${webview.cspSource}`,
    `img-src ${webview.cspSource} data: blob:`,
  ].join('; ');
  return `<!doctype html>
<html lang="${escapeHtml(texts.language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" href="${file(`${bundle}.css`)}">
</head>
<body>
<main id="app"></main>
${textsBlock(texts)}
<script nonce="${nonce}" src="${file(`${bundle}.js`)}"></script>
</body>
</html>`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Connects a panel. Failures of handlers reach the panel as reports; faults of ours also reach the log. */
export function openChannel<C extends Contract>(
  webview: vscode.Webview,
  services: Services,
  handlers: Handlers<C>,
): Channel<C> {
  const ready = new vscode.EventEmitter<void>();
  let listening = false;
  let held: ToPanel[] = [];
  const send = (message: ToPanel): void => void webview.postMessage(message);
  const answer = async (id: number, method: string, params: unknown): Promise<void> => {
    try {
      if (!Object.hasOwn(handlers, method))
        throw new Error(`The panel asked for "${method}", which is unknown.`);
      const handler = handlers[method] as (params: unknown) => unknown;
      send({ kind: 'result', id, result: await handler(params) });
    } catch (cause) {
      const error = reportOf(cause);
      if (error.code === 'internal-error') services.log.error(cause as Error);
      send({ kind: 'failure', id, error });
    }
  };
  const subscription = webview.onDidReceiveMessage((message: unknown) => {
    if (!isToExtension(message)) return;
    if (message.kind === 'request') void answer(message.id, message.method, message.params);
    else if (message.kind === 'fault') services.log.error(`Panel: ${message.message}`);
    else {
      listening = true;
      for (const push of held) send(push);
      held = [];
      ready.fire();
    }
  });
  return {
    push(type, content) {
      const message: ToPanel = { kind: 'push', type, content };
      if (listening) send(message);
      else held.push(message);
    },
    onReady: ready.event,
    dispose() {
      subscription.dispose();
      ready.dispose();
    },
  };
}
