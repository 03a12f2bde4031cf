// Opens a panel's page outside of an editor: its own code, bundled and run in a document without layout, with texts of a test's
// making. What the extension would tell is told by the test; what a person would read or hear comes out.
import { resolve } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import type { BuildOptions, BuildResult, PluginBuild } from 'esbuild';
import { textsBlock } from '../../../src/extension/webviews/pageTexts';
import { type PageTexts, textsElement } from '../../../src/protocol/webview';
import { FakeDocument, FakeElement, FakeNode, FakeText } from './dom';

export interface TestPage {
  readonly document: FakeDocument;
  /** Tells the page something, and lets it draw. */
  tell(type: string, content: unknown): Promise<void>;
  /** Requests that the page made, newest last. */
  readonly asked: { method: string; params: unknown }[];
  /** All texts and spoken attributes, and the words of charts. */
  said(): string[];
  /** What the page reported as its own faults. */
  readonly faults: string[];
}

const spoken = ['alt', 'aria-label', 'aria-valuetext', 'placeholder', 'title'];

/** What only a browser has: components, charts on canvases. A chart keeps what it was given. */
const stand: Record<string, string> = {
  toolkit: 'export function registerToolkit() {}',
  chart: `
    export class Chart {
      static register() {}
      constructor(canvas, config) {
        this.options = config.options;
        this.data = config.data;
        globalThis.charts.push(this);
      }
      update() {}
    }
    const Part = class {};
    export { Part as LineController, Part as LineElement, Part as PointElement, Part as LinearScale,
      Part as LogarithmicScale, Part as Tooltip };`,
};

const bundles = new Map<string, Promise<string>>();

/** The page's code, with stand-ins for what only a browser has. */
function bundleOf(name: string): Promise<string> {
  const known = bundles.get(name) ?? bundle(name);
  bundles.set(name, known);
  return known;
}

async function bundle(name: string): Promise<string> {
  // By a name that the tests' own bundler leaves alone.
  const bundler: string = 'esbuild';
  const { build } = (await import(bundler)) as { build(options: BuildOptions): Promise<BuildResult> };
  const standIns = {
    name: 'stand-ins',
    setup({ onResolve, onLoad }: PluginBuild) {
      onResolve({ filter: /\/toolkit$/ }, () => ({ path: 'toolkit', namespace: 'stand' }));
      onResolve({ filter: /^chart\.js$/ }, () => ({ path: 'chart', namespace: 'stand' }));
      onLoad({ filter: /.*/, namespace: 'stand' }, ({ path }) => ({ contents: stand[path]! }));
    },
  };
  const { outputFiles } = await build({
    entryPoints: [resolve('webview', name, 'main.ts')],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    loader: { '.css': 'empty' },
    plugins: [standIns],
    logLevel: 'silent',
  });
  return outputFiles![0]!.text;
}

/** Opens `webview/<name>`; `answers` are results by method, or functions of the parameters that make them. */
export async function openTestPage(
  name: string,
  texts: PageTexts,
  answers: Record<string, unknown> = {},
): Promise<TestPage> {
  const document = new FakeDocument();
  const main = document.createElement('main');
  main.id = 'app';
  const held = document.createElement('script');
  held.id = textsElement;
  // As the extension writes it into the page.
  held.append(/^<script [^>]*>([^<]*)<\/script>$/.exec(textsBlock(texts))![1]!);
  document.body.append(main, held);

  const charts: { data: unknown; options: unknown }[] = [];
  const asked: TestPage['asked'] = [];
  const faults: string[] = [];
  const listeners = new FakeElement('window', document);
  const tellWindow = (data: unknown): void => listeners.dispatch('message', { data });
  const answer = (message: {
    kind: string;
    id: number;
    method: string;
    params: unknown;
    message: string;
  }): void => {
    if (message.kind === 'fault') faults.push(message.message);
    if (message.kind !== 'request') return;
    const { id, method, params } = message;
    asked.push({ method, params });
    const given = answers[method];
    const result = typeof given === 'function' ? given(params) : given;
    queueMicrotask(() => tellWindow({ kind: 'result', id, result }));
  };
  class Quiet {
    observe(): void {}
  }
  const context = createContext({
    document,
    charts,
    Node: FakeNode,
    Element: FakeElement,
    console,
    performance,
    queueMicrotask,
    setTimeout: (run: () => void) => setTimeout(run, 0),
    clearTimeout,
    setInterval: () => 0,
    requestAnimationFrame: (run: (now: number) => void) => setTimeout(() => run(performance.now()), 0),
    ResizeObserver: Quiet,
    IntersectionObserver: Quiet,
    MutationObserver: Quiet,
    CSS: { escape: (text: string) => text },
    getComputedStyle: () => ({ color: 'rgb(1, 2, 3)', getPropertyValue: () => '#123456' }),
    addEventListener: (type: string, listener: () => void) => listeners.addEventListener(type, listener),
    innerHeight: 900,
    scrollY: 0,
    scrollTo: () => undefined,
    acquireVsCodeApi: () => ({ postMessage: answer, getState: () => undefined, setState: () => undefined }),
  });
  runInContext('globalThis.window = globalThis;', context);
  runInContext(await bundleOf(name), context, { filename: `${name}.js` });
  return {
    document,
    asked,
    faults,
    async tell(type, content) {
      // As it comes over the line: plain data.
      tellWindow({ kind: 'push', type, content: JSON.parse(JSON.stringify(content)) as unknown });
      await settle();
    },
    said: () => [...saidBelow(main), ...charts.flatMap(({ data }) => saidInData(data))],
  };
}

/** Lets drawings and answers that were put off come. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await new Promise((done) => setTimeout(done, 0));
}

function saidBelow(node: FakeNode): string[] {
  if (node instanceof FakeText) return [node.textContent];
  const own = node instanceof FakeElement ? spoken.flatMap((name) => node.getAttribute(name) ?? []) : [];
  return [...own, ...node.childNodes.flatMap(saidBelow)];
}

function saidInData(data: unknown): string[] {
  const { datasets } = data as { datasets: { label?: string; endLabel?: string }[] };
  return datasets.flatMap(({ label, endLabel }) => [label ?? '', endLabel ?? '']);
}
