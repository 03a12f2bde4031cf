// The parent's side of the trainer process: starts it, sends requests, hands on its events, and turns its death into a
// report. It loads no native code.
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../engine/errors';
import type { ErrorReport } from '../protocol/errors';
import {
  type ChildMessage,
  type ControlCommand,
  faultCodes,
  type ParentMessage,
  type TrainerEvent,
  type TrainerMethod,
  type TrainerMethods,
} from '../protocol/trainer';

/** A failure that is ours: the trainer died or broke its own rules. The terminal exits with 1 on it. */
export class TrainerFault extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.message);
    this.name = 'TrainerFault';
  }
}

export interface TrainerOptions {
  /** The trainer's bundle; `trainer.js` beside this one unless told. */
  program?: string;
  /** Called for every line that the trainer writes to its standard error or output: native libraries' logs. */
  onLog?: (line: string) => void;
  env?: NodeJS.ProcessEnv;
  /** The Node that runs it; this process's own unless told. */
  execPath?: string;
}

interface Pending {
  method: TrainerMethod;
  onEvent: (event: TrainerEvent) => void;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

const keptLogLines = 40;
const keptLineCharacters = 500;

/** One trainer process. */
export class TrainerClient {
  private readonly child: ChildProcess;
  private readonly pending = new Map<number, Pending>();
  private readonly log: string[] = [];
  private nextId = 1;
  private lastStep: number | null = null;
  private closed = false;
  private killed = false;
  private spawnError: Error | null = null;
  private tellEnd: () => void = () => {};
  /** Resolves once the process is gone, after what was under way has failed. */
  readonly ended = new Promise<void>((resolve) => {
    this.tellEnd = resolve;
  });

  constructor(private readonly options: TrainerOptions = {}) {
    const program = options.program ?? join(__dirname, 'trainer.js');
    if (!existsSync(program)) {
      throw new TrainerFault({
        code: 'trainer-died',
        message: `The trainer program ${program} is missing.`,
        remedy: 'Build the programs again (npm run build) or install again.',
      });
    }
    this.child = fork(program, [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: options.env ?? process.env,
      ...(options.execPath === undefined ? {} : { execPath: options.execPath }),
      // Flags of this process (a debugger, a loader) are not the trainer's.
      execArgv: ['--enable-source-maps'],
    });
    this.child.on('message', (message) => this.receive(message as ChildMessage));
    this.child.on('error', (error) => {
      this.spawnError = error;
      this.end(null, null);
    });
    // `close` comes after the last line of output, `exit` may come before it.
    this.child.on('close', (code, signal) => this.end(code, signal));
    for (const stream of [this.child.stdout, this.child.stderr]) this.keepLines(stream);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /**
   * Asks for one thing. Events come while it is under way.
   * @throws UserError for what the user can mend; TrainerFault otherwise, `trainer-died` included.
   */
  request<M extends TrainerMethod>(
    method: M,
    params: TrainerMethods[M]['params'],
    onEvent: (event: TrainerEvent) => void = () => {},
  ): Promise<TrainerMethods[M]['result']> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, {
        method,
        onEvent,
        resolve: (result) => resolve(result as TrainerMethods[M]['result']),
        reject,
      });
      if (this.closed) this.failPending(null, null);
      else this.send({ kind: 'request', id, method, params });
    });
  }

  /** Asks the running call to stop, to cancel, or to write a checkpoint. */
  control(command: ControlCommand): void {
    if (!this.closed) this.send({ kind: 'control', command });
  }

  /** Ends the process at once; what is under way fails. Files stay whole: each is written aside and renamed. */
  kill(): void {
    this.killed = true;
    this.child.kill('SIGKILL');
  }

  /** Lets the process end; it has nothing left to do. */
  close(): void {
    if (this.child.connected) this.child.disconnect();
  }

  private send(message: ParentMessage): void {
    // A channel that closes meanwhile is reported by `close`.
    this.child.send(message, () => {});
  }

  private receive(message: ChildMessage): void {
    const call = this.pending.get(message.id);
    if (call === undefined) return;
    if (message.kind === 'event') {
      const { event } = message;
      if (event.type === 'step') this.lastStep = event.step;
      call.onEvent(event);
      return;
    }
    this.pending.delete(message.id);
    if (message.kind === 'result') call.resolve(message.result);
    else
      call.reject(
        faultCodes.includes(message.error.code)
          ? new TrainerFault(message.error)
          : UserError.fromReport(message.error),
      );
  }

  private keepLines(stream: NodeJS.ReadableStream | null): void {
    let rest = '';
    const keep = (line: string): void => {
      this.log.push(line.slice(0, keptLineCharacters));
      if (this.log.length > keptLogLines) this.log.shift();
      this.options.onLog?.(line);
    };
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(-100_000);
      lines.forEach(keep);
    });
    stream?.on('end', () => {
      if (rest !== '') keep(rest);
    });
  }

  private end(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.closed) return;
    this.closed = true;
    this.failPending(code, signal);
    this.tellEnd();
  }

  private failPending(code: number | null, signal: NodeJS.Signals | null): void {
    for (const { method, reject } of this.pending.values())
      reject(new TrainerFault(this.deathReport(method, code, signal)));
    this.pending.clear();
  }

  private deathReport(
    method: TrainerMethod,
    code: number | null,
    signal: NodeJS.Signals | null,
  ): ErrorReport {
    const how =
      this.spawnError !== null
        ? `could not start: ${this.spawnError.message}`
        : signal !== null
          ? `was ended by signal ${signal}`
          : code === null
            ? 'has ended already'
            : `ended with code ${code}`;
    const at = this.lastStep === null ? '' : ` after step ${this.lastStep}`;
    const tail = this.log.slice(-8);
    const logText =
      tail.length === 0 ? '' : ` Its last lines:\n${tail.map((line) => `  ${line}`).join('\n')}`;
    return {
      code: 'trainer-died',
      message: `The trainer process ${how} during ${method}${at}.${logText}`,
      remedy: this.killed
        ? 'Start it again; a training run goes on with --resume.'
        : remedyFor(code, signal, method),
      facts: { signal, exitCode: code, lastStep: this.lastStep, method },
    };
  }
}

function remedyFor(code: number | null, signal: NodeJS.Signals | null, method: TrainerMethod): string {
  const resume = method === 'train' ? ', then go on with --resume' : '';
  // A shell between us and the trainer reports a signal as 128 + its number.
  if (signal === 'SIGKILL' || code === 128 + constants.signals.SIGKILL) {
    return `The system ends processes so when memory runs out: lower per_device_train_batch_size or max_length${resume}.`;
  }
  if (
    signal === 'SIGSEGV' ||
    signal === 'SIGABRT' ||
    signal === 'SIGBUS' ||
    signal === 'SIGILL' ||
    signal === 'SIGFPE'
  ) {
    return `Native code failed: run "lora-workbench doctor" and report this with its output${resume}.`;
  }
  return signal === 'SIGTERM' || signal === 'SIGHUP'
    ? `Start it again${resume}.`
    : `Please report this with the lines above${resume}.`;
}
