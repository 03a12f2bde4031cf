// Where output goes: lines, one live line where the output is a terminal, colours where they are wanted. With --json
// nothing but the one document reaches standard output.

export interface Stream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface TerminalOptions {
  json: boolean;
  stdout?: Stream;
  stderr?: Stream;
  env?: NodeJS.ProcessEnv;
}

type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green';
const styles: Readonly<Record<Style, [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
};

/** The terminal of one command. */
export class Terminal {
  readonly json: boolean;
  private readonly stdout: Stream;
  private readonly stderr: Stream;
  private readonly env: NodeJS.ProcessEnv;
  private liveLine = false;

  constructor(options: TerminalOptions) {
    this.json = options.json;
    this.stdout = options.stdout ?? process.stdout;
    this.stderr = options.stderr ?? process.stderr;
    this.env = options.env ?? process.env;
  }

  /** Whether a line can be rewritten in place. */
  get isLive(): boolean {
    return !this.json && this.stdout.isTTY === true && this.env.TERM !== 'dumb';
  }

  get columns(): number {
    return this.stdout.columns ?? 100;
  }

  /** A line for people; nothing with --json. */
  line(text = ''): void {
    if (this.json) return;
    this.clearLive();
    this.stdout.write(`${text}\n`);
  }

  /** Text without a line's end, for what comes piece by piece. */
  piece(text: string): void {
    if (this.json) return;
    this.clearLive();
    this.stdout.write(text);
  }

  /** Rewrites the line in place; only where `isLive`. */
  live(text: string): void {
    if (!this.isLive) return;
    this.stdout.write(`\r\x1b[2K${[...text].slice(0, this.columns - 1).join('')}`);
    this.liveLine = true;
  }

  /** The one document of --json. */
  document(value: unknown): void {
    if (this.json) this.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** A line on standard error. */
  error(text: string): void {
    this.clearLive();
    this.stderr.write(`${text}\n`);
  }

  /** Colours text for standard output, or for standard error. */
  style(style: Style, text: string, stream: 'stdout' | 'stderr' = 'stdout'): string {
    const colours =
      (this.env.NO_COLOR ?? '') === '' &&
      this.env.TERM !== 'dumb' &&
      (stream === 'stdout' ? this.stdout : this.stderr).isTTY === true;
    const [open, close] = styles[style];
    return colours ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  }

  private clearLive(): void {
    if (!this.liveLine) return;
    this.stdout.write('\r\x1b[2K');
    this.liveLine = false;
  }
}

/** Rows of cells as aligned columns; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[], indent = '  '): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, String(cell).length);
    });
  }
  return rows.map((row) =>
    (
      indent +
      row
        .map((cell, column) => {
          const text = String(cell);
          const width = column === row.length - 1 && typeof cell === 'string' ? 0 : widths[column]!;
          return typeof cell === 'number' ? text.padStart(width) : text.padEnd(width);
        })
        .join('  ')
    ).trimEnd(),
  );
}

/** Control characters from outside (a model's output, a file's name) shown rather than obeyed. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to show.
  return text.replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
