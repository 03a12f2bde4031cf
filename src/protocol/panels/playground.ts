// What the playground is told and may ask: which models and adapters there are, one prompt continued by the base and by an
// adapter, token by token. Plain data; both sides are typed by this file.
import type { ErrorReport } from '../errors';
import type { ChatTurn, SamplingParams, SayResult, TokenAlternative } from '../trainer';
import type { Contract } from '../webview';

export interface PlaygroundAdapter {
  folder: string;
  name: string;
  /** Method, rank, loss: one line. */
  detail: string;
  /** Why it cannot be tried with this model; undefined where it can. */
  refusal: string | undefined;
}

export interface PlaygroundState {
  models: readonly { folder: string; name: string }[];
  /** Folder of the chosen model; null where there is none. */
  model: string | null;
  adapters: readonly PlaygroundAdapter[];
  /** Folder of the adapter to begin with. */
  adapter: string | null;
  /** Where the model is loaded. */
  device: string;
  devices: readonly string[];
}

export interface PlaygroundSession {
  state: 'closed' | 'loading' | 'open' | 'failed';
  weightBytes: number;
  hasChatTemplate: boolean;
  positions: number;
  error: ErrorReport | null;
}

/** Side 0 is the base, side 1 the adapter. */
export type Side = 0 | 1;

export interface SayRequest extends SamplingParams {
  side: Side;
  /** Folder; null for the base. */
  adapter: string | null;
  prompt: string;
  chat: boolean;
  /** What was said on this side before; only with `chat`. */
  turns: readonly ChatTurn[];
  /** Factor on the adapter's update. */
  strength: number;
}

export interface PlaygroundContract extends Contract {
  requests: {
    /** Loads the model where it is not, and continues the prompt. */
    say: { params: SayRequest; result: SayResult };
    /** Ends what is being written; what stands there stays. */
    stop: { params: undefined; result: undefined };
    setModel: { params: { folder: string }; result: undefined };
    setDevice: { params: { device: string }; result: undefined };
    inspect: { params: { folder: string }; result: undefined };
    copy: { params: { text: string }; result: undefined };
  };
  pushes: {
    state: PlaygroundState;
    session: PlaygroundSession;
    token: {
      side: Side;
      text: string;
      probability: number | undefined;
      alternatives: readonly TokenAlternative[];
    };
    warning: { message: string };
  };
}
