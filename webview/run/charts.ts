// The charts of a run: Chart.js in the theme's colours, fed with as many points as the screen can show.
import {
  Chart,
  type ChartDataset,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  Tooltip,
} from 'chart.js';
import { decimal, integer, loss as lossText, rate, short } from '../shared/format';
import { t } from '../shared/texts';
import { isHighContrast, mixed, token } from '../shared/theme';
import { decimate, type Point, spaced } from './decimate';
import type { RunHistory } from './history';

Chart.register(LineController, LineElement, PointElement, LinearScale, LogarithmicScale, Tooltip);

export interface Shown {
  train: boolean;
  smoothed: boolean;
  eval: boolean;
  log: boolean;
  /** Compared runs that are hidden, by id. */
  hidden: ReadonlySet<string>;
}

/** Dash and marker of a compared run, so that colour is not all that tells them apart. */
export const looks = [
  { colour: 'charts-purple', dash: [6, 4], css: 'dashed', marker: 'rect' },
  { colour: 'charts-green', dash: [2, 3], css: 'dotted', marker: 'triangle' },
  { colour: 'charts-red', dash: [8, 3, 2, 3], css: 'dashed', marker: 'rectRot' },
  { colour: 'charts-yellow', dash: [1, 4], css: 'dotted', marker: 'star' },
  { colour: 'charts-blue', dash: [10, 5], css: 'dashed', marker: 'crossRot' },
  { colour: 'foreground', dash: [4, 2], css: 'dashed', marker: 'cross' },
] as const;

interface LineData extends ChartDataset<'line', Point[]> {
  endLabel?: string;
}

/** Name and value at the end of a line, pushed apart where they would lie on one another. */
const endLabels = {
  id: 'endLabels',
  afterDatasetsDraw(chart: Chart): void {
    const font = `12px ${token('font-family')}`;
    const labels = (chart.data.datasets as LineData[]).flatMap((dataset, i) => {
      const points = chart.getDatasetMeta(i).data;
      const last = points.at(-1);
      if (dataset.endLabel === undefined || last === undefined || !chart.isDatasetVisible(i)) return [];
      return [{ x: last.x + 8, y: last.y, text: dataset.endLabel }];
    });
    labels.sort((a, b) => a.y - b.y);
    for (let pass = 0; pass < 30; pass++) {
      for (let i = 1; i < labels.length; i++) {
        const [above, below] = [labels[i - 1]!, labels[i]!];
        const push = 15 - (below.y - above.y);
        if (push > 0 && Math.abs(above.x - below.x) < 150) {
          above.y -= push / 2;
          below.y += push / 2;
        }
      }
    }
    const { ctx, width, chartArea } = chart;
    ctx.save();
    ctx.font = font;
    ctx.textBaseline = 'middle';
    for (const { x, y, text } of labels) {
      const wide = ctx.measureText(text).width;
      const left = Math.min(x, width - wide - 2);
      const top = Math.min(Math.max(y, chartArea.top + 8), chartArea.bottom - 8);
      ctx.fillStyle = token('editor-background', 'editor-background');
      ctx.globalAlpha = 0.8;
      ctx.fillRect(left - 2, top - 8, wide + 4, 16);
      ctx.globalAlpha = 1;
      ctx.fillStyle = token('foreground');
      ctx.fillText(text, left, top);
    }
    ctx.restore();
  },
};

interface Marks {
  lines?: readonly { x: number; label: string }[];
  ticks?: readonly { x: number; best: boolean }[];
}

/** Pixels between two marks: the width of one and a little room. */
const markGap = 10;

/** Dashed lines where epochs begin, small triangles on the axis where checkpoints lie. */
const marks = {
  id: 'marks',
  beforeDatasetsDraw(chart: Chart, _: unknown, { lines = [], ticks = [] }: Marks): void {
    const { ctx, chartArea, scales } = chart;
    const x = scales.x!;
    ctx.save();
    ctx.strokeStyle = mixed('foreground', 28);
    ctx.fillStyle = mixed('foreground', 74);
    ctx.font = `11px ${token('font-family')}`;
    ctx.textBaseline = 'top';
    ctx.setLineDash([3, 3]);
    for (const line of lines) {
      const at = x.getPixelForValue(line.x);
      if (at < chartArea.left || at > chartArea.right) continue;
      ctx.beginPath();
      ctx.moveTo(at, chartArea.top);
      ctx.lineTo(at, chartArea.bottom);
      ctx.stroke();
      ctx.fillText(line.label, at + 5, chartArea.top + 2);
    }
    ctx.setLineDash([]);
    const places = ticks.map((tick) => ({ at: x.getPixelForValue(tick.x), keep: tick.best }));
    for (const { at, keep } of spaced(places, markGap)) {
      ctx.fillStyle = keep ? token('foreground') : mixed('foreground', 40);
      ctx.beginPath();
      ctx.moveTo(at - 3.5, chartArea.bottom);
      ctx.lineTo(at + 3.5, chartArea.bottom);
      ctx.lineTo(at, chartArea.bottom - 6);
      ctx.fill();
    }
    ctx.restore();
  },
};

function axis(vertical: boolean, more: object = {}): object {
  const contrast = isHighContrast();
  return {
    type: 'linear',
    grid: { display: vertical, color: mixed('foreground', contrast ? 30 : 9), drawTicks: false },
    border: { display: !vertical, color: mixed('foreground', contrast ? 100 : 28) },
    ticks: {
      color: mixed('foreground', contrast ? 100 : 74),
      font: { size: 11, family: token('font-family') },
      padding: 6,
      maxRotation: 0,
      autoSkipPadding: 16,
      // Only round numbers: the end of the axis is rarely one.
      includeBounds: vertical,
      ...more,
    },
  };
}

/** One canvas. */
export class LineChart {
  readonly #chart: Chart<'line', Point[]>;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly options: { ticks?: number; format: (value: number) => string; endLabels?: boolean },
  ) {
    this.#chart = new Chart<'line', Point[]>(canvas, {
      type: 'line',
      data: { datasets: [] },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        normalized: true,
        events: options.endLabels ? ['mousemove', 'mouseout', 'touchstart'] : [],
        interaction: { mode: 'nearest', axis: 'x', intersect: false },
        layout: { padding: { right: options.endLabels ? 96 : 4, top: 4 } },
      },
      plugins: options.endLabels ? [endLabels, marks] : [],
    });
    this.dress();
  }

  /** Puts on the theme's colours. */
  dress(): void {
    const { format, ticks = 8 } = this.options;
    const options = this.#chart.options;
    options.scales = {
      x: axis(false, {
        callback: (value: number) => (Number.isInteger(value) ? integer(value) : ''),
      }) as never,
      y: axis(true, { maxTicksLimit: ticks, callback: (value: number) => format(value) }) as never,
    };
    options.plugins = {
      ...options.plugins,
      tooltip: {
        enabled: this.options.endLabels === true,
        backgroundColor: token('editorHoverWidget-background', 'editor-background'),
        borderColor: token('editorHoverWidget-border'),
        borderWidth: 1,
        titleColor: token('foreground'),
        bodyColor: token('foreground'),
        cornerRadius: 2,
        padding: 8,
        boxWidth: 10,
        boxHeight: 2,
        callbacks: {
          title: (items) => t('step {0}', integer(items[0]?.parsed.x ?? 0)),
          label: (item) => ` ${item.dataset.label}  ${format(item.parsed.y ?? 0)}`,
        },
      },
    };
  }

  draw(datasets: LineData[], bounds: { to: number; log?: boolean; minimum?: number; marks?: Marks }): void {
    const { data, options } = this.#chart;
    data.datasets = datasets;
    const { x, y } = options.scales as Record<
      string,
      { type: string; min?: number; max?: number; ticks: { callback: unknown } }
    >;
    x!.min = 0;
    x!.max = bounds.to;
    y!.type = bounds.log === true ? 'logarithmic' : 'linear';
    y!.min = bounds.log === true ? undefined : bounds.minimum;
    (options.plugins as Record<string, unknown>).marks = bounds.marks ?? {};
    this.#chart.update('none');
  }

  get width(): number {
    return Math.max(100, Math.round(this.#chart.chartArea?.width ?? this.canvas.clientWidth));
  }

  /** A picture on the editor's background, as base64. */
  picture(): string {
    const copy = document.createElement('canvas');
    copy.width = this.canvas.width;
    copy.height = this.canvas.height;
    const context = copy.getContext('2d')!;
    context.fillStyle = token('editor-background', 'editor-background');
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(this.canvas, 0, 0);
    return copy.toDataURL('image/png').split(',')[1] ?? '';
  }
}

const line = (data: Point[], colour: string, width: number, more: Partial<LineData> = {}): LineData => ({
  data,
  borderColor: colour,
  backgroundColor: colour,
  borderWidth: width,
  pointRadius: 0,
  tension: 0,
  ...more,
});

/** All charts of the page. */
export class RunCharts {
  readonly #loss: LineChart;
  readonly #small: { chart: LineChart; values: (history: RunHistory) => readonly number[] }[];

  constructor(canvases: {
    loss: HTMLCanvasElement;
    rate: HTMLCanvasElement;
    norm: HTMLCanvasElement;
    speed: HTMLCanvasElement;
  }) {
    this.#loss = new LineChart(canvases.loss, { format: short, endLabels: true });
    this.#small = [
      {
        chart: new LineChart(canvases.rate, {
          ticks: 4,
          format: (v) => (v === 0 ? '0' : decimal(v.toExponential(0))),
        }),
        values: (h) => h.learningRate,
      },
      { chart: new LineChart(canvases.norm, { ticks: 4, format: short }), values: (h) => h.gradNorm },
      {
        chart: new LineChart(canvases.speed, { ticks: 4, format: integer }),
        values: (h) => h.tokensPerSecond,
      },
    ];
  }

  dress(): void {
    this.#loss.dress();
    for (const { chart } of this.#small) chart.dress();
  }

  draw(
    history: RunHistory,
    compared: readonly RunHistory[],
    shown: Shown,
    totalSteps: number,
    stepsPerEpoch: number,
  ): void {
    const width = this.#loss.width;
    const blue = token('charts-blue');
    const visible = compared.filter(({ id }) => !shown.hidden.has(id));
    const to = Math.max(totalSteps, history.lastStep, 1, ...visible.map(({ lastStep }) => lastStep));
    const evals = history.evals.map(({ step, loss }) => ({ x: step, y: loss }));
    const faint = isHighContrast() ? 45 : 36;
    const last = history.smoothed.at(-1);
    const sets: LineData[] = [];
    if (shown.train)
      sets.push(
        line(decimate(history.step, history.loss, width), mixed('charts-blue', faint), 1, {
          label: t('train'),
          order: 9,
        }),
      );
    if (shown.smoothed)
      sets.push(
        line(decimate(history.step, history.smoothed, width), blue, 2, {
          label: t('smoothed'),
          order: 2,
          endLabel: last === undefined ? undefined : t('train {0}', lossText(last)),
        }),
      );
    if (shown.eval && evals.length > 0)
      sets.push(
        line(evals, token('charts-yellow'), 2, {
          label: t('eval'),
          order: 1,
          pointRadius: 3.5,
          endLabel: t('eval {0}', lossText(evals.at(-1)!.y)),
        }),
      );
    compared.forEach((other, i) => {
      if (shown.hidden.has(other.id)) return;
      const look = looks[i % looks.length]!;
      const points = other.evals.map(({ step, loss }) => ({ x: step, y: loss }));
      const whole = points.length > 0 ? points : decimate(other.step, other.smoothed, width);
      const end = whole.at(-1);
      sets.push(
        line(whole, token(look.colour), 1.5, {
          label: points.length > 0 ? `${other.name}, ${t('eval')}` : other.name,
          order: 4,
          borderDash: [...look.dash],
          pointRadius: points.length > 0 ? 3 : 0,
          pointStyle: look.marker,
          endLabel: end === undefined ? undefined : `${other.name} ${lossText(end.y)}`,
        }),
      );
    });
    const lowest = history.evals.reduce<(typeof history.evals)[number] | undefined>(
      (best, one) => (best === undefined || one.loss < best.loss ? one : best),
      undefined,
    );
    const bestStep = lowest?.step;
    const epochs = stepsPerEpoch > 0 ? Math.floor(to / stepsPerEpoch) : 0;
    // Of many epochs only some are marked, so that their names have room.
    const every = Math.max(1, Math.ceil(epochs / 8));
    this.#loss.draw(sets, {
      to,
      log: shown.log,
      marks: {
        lines: Array.from({ length: Math.floor(epochs / every) }, (_, i) => ({
          x: (i + 1) * every * stepsPerEpoch,
          label: t('epoch {0}', integer((i + 1) * every + 1)),
          // No epoch begins with the last step.
        })).filter(({ x }) => x < to / 1.03 - 0.5),
        ticks: history.checkpoints.map(({ step }) => ({ x: step, best: step === bestStep })),
      },
    });
    for (const { chart, values } of this.#small)
      chart.draw([line(decimate(history.step, values(history), chart.width), blue, 1.25)], {
        to,
        minimum: 0,
      });
  }

  picture(): string {
    return this.#loss.picture();
  }
}

/** The newest learning rate, gradient norm and speed, for the headings of the small charts. */
export function newest(history: RunHistory): { rate: string; norm: string; speed: string } {
  const last = <T>(values: readonly T[]): T | undefined => values.at(-1);
  const norm = last(history.gradNorm);
  return {
    rate: history.step.length === 0 ? '' : rate(last(history.learningRate) ?? 0),
    norm: norm === undefined ? '' : Number.isNaN(norm) ? '–' : short(Number(norm.toPrecision(3))),
    speed: history.step.length === 0 ? '' : integer(last(history.tokensPerSecond) ?? 0),
  };
}
