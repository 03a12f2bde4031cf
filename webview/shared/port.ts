// The panel's end of the line to the extension: typed requests that are answered, news that is told, state that outlives a
// hidden panel. It knows no single panel.
import type { ErrorReport } from '../../src/protocol/errors';
import type { Contract, Params, Result, ToExtension, ToPanel } from '../../src/protocol/webview';

interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}
declare function acquireVsCodeApi(): VsCodeApi;

/** A request that the extension answered with a failure. */
export class RequestFailure extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.message);
    this.name = 'RequestFailure';
  }
}

export interface Port<C extends Contract, State> {
  /** Asks; rejects with RequestFailure. */
  request<M extends keyof C['requests'] & string>(method: M, params: Params<C, M>): Promise<Result<C, M>>;
  /** Listens to one kind of news. */
  on<T extends keyof C['pushes'] & string>(type: T, listener: (content: C['pushes'][T]) => void): void;
  /** What the panel kept, also across a reload of the window. */
  readonly state: State | undefined;
  keep(state: State): void;
  /** Tells the extension that the panel listens; call it once all listeners are there. */
  ready(): void;
}

/** Connects; once per page. */
export function connect<C extends Contract, State = unknown>(): Port<C, State> {
  const api = acquireVsCodeApi();
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners = new Map<string, ((content: never) => void)[]>();
  let nextId = 1;
  const send = (message: ToExtension): void => api.postMessage(message);

  window.addEventListener('message', ({ data }: MessageEvent<ToPanel>) => {
    if (data.kind === 'push') {
      for (const listener of listeners.get(data.type) ?? []) listener(data.content as never);
      return;
    }
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.kind === 'result') call?.resolve(data.result);
    else call?.reject(new RequestFailure(data.error));
  });
  window.addEventListener('error', (event) =>
    send({ kind: 'fault', message: `${event.message} (${event.filename}:${event.lineno})` }),
  );
  window.addEventListener('unhandledrejection', (event) =>
    send({ kind: 'fault', message: String(event.reason) }),
  );

  return {
    request(method, params) {
      const id = nextId++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve: (value) => resolve(value as never), reject });
        send({ kind: 'request', id, method, params });
      });
    },
    on(type, listener) {
      listeners.set(type, [...(listeners.get(type) ?? []), listener as (content: never) => void]);
    },
    get state() {
      return api.getState() as State | undefined;
    },
    keep: (state) => api.setState(state),
    ready: () => send({ kind: 'ready' }),
  };
}
