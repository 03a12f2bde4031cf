// What a panel and the extension say to one another. A panel's contract lists what it asks (requests, each answered with a
// result or a failure) and what it is told (pushes). The envelopes are the same for all panels; both sides are typed by this file.
import type { ErrorReport } from './errors';

/** What one panel may ask and be told. */
export interface Contract {
  /** Method → its parameters and its result. */
  requests: { [method: string]: { params: unknown; result: unknown } };
  /** Kind of news → its content. */
  pushes: { [type: string]: unknown };
}

export type Params<C extends Contract, M extends keyof C['requests']> = C['requests'][M]['params'];
export type Result<C extends Contract, M extends keyof C['requests']> = C['requests'][M]['result'];

/** From the panel to the extension. `ready` comes once the panel listens. */
export type ToExtension =
  | { kind: 'ready' }
  | { kind: 'request'; id: number; method: string; params: unknown }
  /** An uncaught error in the panel; it goes to the log. */
  | { kind: 'fault'; message: string };

/** From the extension to the panel. */
export type ToPanel =
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'failure'; id: number; error: ErrorReport }
  | { kind: 'push'; type: string; content: unknown };

/** What a page is given to speak a language: as JSON in the element `textsElement`. */
export interface PageTexts {
  /** What the page speaks, as a language tag: `en`, `pt-br`. */
  language: string;
  /** English text → its translation; empty where the editor speaks English. */
  bundle: Readonly<Record<string, string>>;
}

/** Id of the page's element with its texts. */
export const textsElement = 'texts';

/** Requests that every panel may make. */
export interface CommonRequests {
  /** Runs one of this extension's commands (`newFineTune`, …) with plain arguments. */
  command: { params: { command: string; args?: readonly unknown[] }; result: undefined };
  /** Opens a file in the editor; `line` counts from 1. */
  openFile: { params: { path: string; line?: number }; result: undefined };
  [method: string]: { params: unknown; result: unknown };
}

/** Whether a message has the shape of one from a panel; what comes in is not trusted to. */
export function isToExtension(value: unknown): value is ToExtension {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  if (value.kind === 'ready') return true;
  if (value.kind === 'fault') return 'message' in value && typeof value.message === 'string';
  return (
    value.kind === 'request' &&
    'id' in value &&
    Number.isSafeInteger(value.id) &&
    'method' in value &&
    typeof value.method === 'string'
  );
}
