// What is kept of every row once it was encoded, a few numbers each, and what follows from them for a max_length: lengths,
// trained tokens, problems with remedies. A change of max_length needs no row to be encoded again. Pure.
import type { EncodedSample } from '../../engine/data';
import type { LensProblem, LensProgress, LensSettings, Remedy } from '../../protocol/panels/lens';
import { cutRange } from './lensRows';

/** Problems that do not depend on max_length, as bits. */
export const flags = { unreadable: 1, roles: 2, untrained: 4, end: 8, duplicate: 16, leak: 32 } as const;

type Cutting = Pick<LensSettings, 'max_length' | 'truncation' | 'train_on' | 'template'>;

const listed = 200;
const bars = 44;

export class RowStats {
  count = 0;
  #lengths = new Int32Array(1024);
  #flags = new Uint8Array(1024);
  #lines = new Int32Array(1024);
  #prefix = new Uint8Array(1024);
  /** Trained stretches [start, end, start, end …] of each row. */
  readonly #spans: Int32Array[] = [];
  readonly #errors = new Map<number, { message: string; remedy: string }>();

  addEncoded(line: number | null, { ids, trained }: EncodedSample, prefix: number, bits: number): void {
    const spans: number[] = [];
    for (let t = 0; t < ids.length; t++) {
      if (trained[t] !== (trained[t - 1] ?? 0)) spans.push(t);
    }
    if (spans.length % 2 === 1) spans.push(ids.length);
    this.#add(
      line,
      ids.length,
      prefix,
      bits | (spans.length === 0 ? flags.untrained : 0),
      Int32Array.from(spans),
    );
  }

  addError(line: number | null, bits: number, error: { message: string; remedy: string }): void {
    // The texts of a file that is broken throughout are not all kept.
    if (this.#errors.size < 5000) this.#errors.set(this.count, error);
    this.#add(line, -1, 0, bits, new Int32Array());
  }

  mark(row: number, bits: number): void {
    this.#flags[row]! |= bits;
  }

  flagsOf(row: number): number {
    return row < this.count ? this.#flags[row]! : 0;
  }

  /** Ids of a row's problems. */
  problemsOf(row: number, cutting: Cutting): string[] {
    if (row >= this.count) return [];
    const bits = this.#flags[row]!;
    const ids = (Object.keys(flags) as (keyof typeof flags)[]).filter((id) => (bits & flags[id]) !== 0);
    return [...ids, ...this.#cutProblems(row, cutting)];
  }

  /** The next row with a problem; `id` narrows it to one kind. */
  next(from: number, back: boolean, id: string | null, cutting: Cutting): number | null {
    const step = back ? -1 : 1;
    for (let row = from + step; row >= 0 && row < this.count; row += step) {
      const found = this.problemsOf(row, cutting);
      if (id === null ? found.length > 0 : found.includes(id)) return row;
    }
    return null;
  }

  /** Everything that the page says of all rows. */
  summary(
    cutting: Cutting,
    positions: number,
  ): Omit<LensProgress, 'rows' | 'complete' | 'done' | 'shape' | 'notes' | 'fine'> {
    const lengths = this.#lengths
      .slice(0, this.count)
      .filter((length) => length >= 0)
      .sort();
    const longest = lengths.at(-1) ?? 0;
    const quantile = (q: number): number =>
      lengths[Math.min(lengths.length - 1, Math.floor(q * lengths.length))] ?? 0;
    let width = 1;
    while (longest / width > bars) width *= 2;
    const rows = new Array<number>(Math.max(1, Math.ceil(longest / width))).fill(0);
    for (const length of lengths) rows[Math.max(0, Math.ceil(length / width) - 1)]!++;
    let tokens = 0;
    let trained = 0;
    let longer = 0;
    for (let row = 0; row < this.count; row++) {
      const length = this.#lengths[row]!;
      if (length < 0) continue;
      const cut = cutRange(length, this.#prefix[row]!, cutting);
      if (cut[1] > cut[0]) longer++;
      tokens += length - (cut[1] - cut[0]);
      trained += this.#trainedWithout(row, cut);
    }
    return {
      scanned: this.count,
      histogram: { width, rows },
      median: quantile(0.5),
      p95: quantile(0.95),
      longest,
      tokens,
      trained,
      longer,
      problems: this.#problems(cutting, longest, positions),
    };
  }

  #add(line: number | null, length: number, prefix: number, bits: number, spans: Int32Array): void {
    if (this.count === this.#lengths.length) {
      const grown = <T extends Int32Array | Uint8Array>(old: T): T => {
        const larger = new (old.constructor as new (n: number) => T)(2 * old.length);
        larger.set(old as never);
        return larger;
      };
      this.#lengths = grown(this.#lengths);
      this.#flags = grown(this.#flags);
      this.#lines = grown(this.#lines);
      this.#prefix = grown(this.#prefix);
    }
    this.#lengths[this.count] = length;
    this.#flags[this.count] = bits;
    this.#lines[this.count] = line ?? 0;
    this.#prefix[this.count] = prefix;
    this.#spans[this.count] = spans;
    this.count++;
  }

  #trainedWithout(row: number, [from, to]: readonly [number, number]): number {
    const spans = this.#spans[row]!;
    let sum = 0;
    for (let i = 0; i < spans.length; i += 2) {
      const [start, end] = [spans[i]!, spans[i + 1]!];
      const overlap = Math.max(0, Math.min(end, to) - Math.max(start, from));
      sum += end - start - overlap;
    }
    return sum;
  }

  #cutProblems(row: number, cutting: Cutting): string[] {
    const length = this.#lengths[row]!;
    if (length <= cutting.max_length || cutting.truncation === 'drop') return [];
    if (cutting.truncation === 'error') return ['tooLong'];
    const spans = this.#spans[row]!;
    if (spans.length === 0) return [];
    const cut = cutRange(length, this.#prefix[row]!, cutting);
    if (this.#trainedWithout(row, cut) === 0) return ['cutAway'];
    const last = spans.at(-1)! - 1;
    return last >= cut[0] && last < cut[1] ? ['cutAnswer'] : [];
  }

  #problems(cutting: Cutting, longest: number, positions: number): LensProblem[] {
    const found = new Map<string, { count: number; rows: LensProblem['rows'][number][] }>();
    for (let row = 0; row < this.count; row++) {
      if (this.#flags[row] === 0 && this.#lengths[row]! <= cutting.max_length) continue;
      for (const id of this.problemsOf(row, cutting)) {
        const problem = found.get(id) ?? { count: 0, rows: [] };
        found.set(id, problem);
        problem.count++;
        if (problem.rows.length >= listed) continue;
        const line = this.#lines[row]! === 0 ? null : this.#lines[row]!;
        const error = this.#errors.get(row);
        problem.rows.push({ row, line, message: error?.message ?? single[id] ?? '' });
      }
    }
    const wanted = [...kinds.keys()].flatMap((id) => {
      const problem = found.get(id);
      return problem === undefined ? [] : [{ id, ...problem }];
    });
    return wanted.map(({ id, count, rows }) => {
      const { severity, say, remedies } = kinds.get(id)!;
      return {
        id,
        severity,
        message: say(count),
        count,
        rows,
        remedies: remedies(cutting, longest, positions),
      };
    });
  }
}

const rowsOf = (count: number, one: string, many: string): string =>
  count === 1 ? `1 ${one}` : `${count.toLocaleString('en-US')} ${many}`;

/** What a single row's diagnostic says. */
const single: Record<string, string> = {
  untrained: 'This row has no token to train on and is left out.',
  end: 'The token that ends this answer is no EOS of the model, so the model does not learn to stop.',
  duplicate: 'This row stands in the file before.',
  leak: 'This row stands in both the training and the evaluation data.',
  cutAway: 'max_length cuts off everything that would be trained; the row is left out.',
  cutAnswer: 'max_length cuts the end of the answer and its EOS off.',
  tooLong: 'This row is longer than max_length, and truncation is "error".',
};

interface Kind {
  severity: LensProblem['severity'];
  say: (count: number) => string;
  remedies: (cutting: Cutting, longest: number, positions: number) => Remedy[];
}

/** A whole multiple of 64 that holds the longest row, within what the model can take. */
function roomFor(longest: number, positions: number): number {
  return Math.min(positions, Math.ceil(longest / 64) * 64);
}

function raise(cutting: Cutting, longest: number, positions: number): Remedy[] {
  const room = roomFor(longest, positions);
  if (room <= cutting.max_length) return [];
  return [{ label: `Raise to ${room}`, edits: { max_length: room } }];
}

const drop: Remedy = { label: 'Drop them', edits: { truncation: 'drop' } };

const kinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  [
    'unreadable',
    {
      severity: 'error',
      say: (n) => `${rowsOf(n, 'row cannot', 'rows cannot')} be used. A run refuses the file.`,
      remedies: () => [],
    },
  ],
  [
    'roles',
    {
      severity: 'error',
      say: (n) =>
        `${rowsOf(n, 'conversation has', 'conversations have')} roles that the template does not take.`,
      remedies: (cutting) =>
        cutting.template === null
          ? []
          : [{ label: "Use the model's template", edits: { chat_template: null } }],
    },
  ],
  [
    'tooLong',
    {
      severity: 'error',
      say: (n) =>
        `${rowsOf(n, 'row is', 'rows are')} longer than \`max_length\`, and \`truncation: error\` refuses them.`,
      remedies: (...given) => [drop, ...raise(...given)],
    },
  ],
  [
    'cutAway',
    {
      severity: 'warning',
      say: (n) =>
        `${rowsOf(n, 'row has', 'rows have')} nothing left to train on: \`max_length\` cuts the whole answer off.`,
      remedies: (...given) => [
        drop,
        ...raise(...given),
        { label: 'Cut the start instead', edits: { truncation: 'left' } },
      ],
    },
  ],
  [
    'cutAnswer',
    {
      severity: 'warning',
      say: (n) =>
        `${rowsOf(n, 'answer is', 'answers are')} cut and lose${n === 1 ? 's' : ''} EOS: the model may not learn to stop.`,
      remedies: (...given) => [drop, ...raise(...given)],
    },
  ],
  [
    'untrained',
    {
      severity: 'warning',
      say: (n) =>
        `${rowsOf(n, 'row has', 'rows have')} no token to train on and ${n === 1 ? 'is' : 'are'} left out.`,
      remedies: ({ train_on }) =>
        train_on === 'all' ? [] : [{ label: 'Train on everything', edits: { train_on: 'all' } }],
    },
  ],
  [
    'end',
    {
      severity: 'warning',
      say: (n) =>
        `${rowsOf(n, 'answer does', 'answers do')} not end with an EOS of the model: it may not learn to stop.`,
      remedies: (cutting) =>
        cutting.template === null
          ? []
          : [{ label: "Use the model's template", edits: { chat_template: null } }],
    },
  ],
  [
    'leak',
    {
      severity: 'warning',
      say: (n) =>
        `${rowsOf(n, 'row stands', 'rows stand')} in both training and evaluation data: the eval loss looks too good.`,
      remedies: () => [
        { label: 'Split 5 % off instead', edits: { eval_dataset: undefined, val_size: 0.05 } },
      ],
    },
  ],
  [
    'duplicate',
    {
      severity: 'info',
      say: (n) =>
        `${rowsOf(n, 'row is', 'rows are')} in the file already: ${n === 1 ? 'it counts' : 'they count'} twice.`,
      remedies: () => [],
    },
  ],
]);
