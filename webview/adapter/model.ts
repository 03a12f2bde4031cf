// What the page knows of the file, as it comes in: the head, then values by index. No elements here.
import type {
  AdapterHead,
  AdapterNews,
  ModuleHead,
  ModuleValues,
  TensorValues,
} from '../../src/protocol/panels/adapter';
import { effectiveRank, type Spectral } from './rank';

export type View = 'ratio' | 'norm' | 'effective';

export class AdapterModel {
  readonly modules = new Map<number, ModuleValues>();
  readonly tensors = new Map<number, TensorValues>();
  readonly base = new Map<number, number>();
  done = false;

  constructor(readonly head: AdapterHead) {}

  take(news: AdapterNews): void {
    for (const values of news.modules) this.modules.set(values.index, values);
    for (const values of news.tensors) this.tensors.set(values.index, values);
    for (const [module, norm] of news.base) this.base.set(module, norm);
  }

  /** ‖W‖ of every module that has one has come. */
  get hasBase(): boolean {
    return this.head.withBase && this.done && this.base.size > 0;
  }

  /** undefined while it is not known; null where it cannot be. */
  value(module: number, view: View): number | null | undefined {
    const values = this.modules.get(module);
    if (values === undefined) return undefined;
    if (values.norm === null) return null;
    if (view === 'norm') return values.norm;
    if (view === 'effective') return effectiveRank(values.sigma);
    const norm = this.base.get(module);
    return norm === undefined
      ? this.done
        ? null
        : undefined
      : norm === 0
        ? null
        : (100 * values.norm) / norm;
  }

  spectral(module: ModuleHead, index: number): Spectral {
    return { sigma: this.modules.get(index)?.sigma ?? [], ...module };
  }

  /** Modules with finite values. */
  get spectra(): Spectral[] {
    return this.head.modules.flatMap((module, index) =>
      (this.modules.get(index)?.norm ?? null) === null ? [] : [this.spectral(module, index)],
    );
  }

  /** The largest rank of a module; 1 where there is none. */
  get rank(): number {
    return Math.max(1, ...this.head.modules.map(({ rank }) => rank));
  }

  get unmoved(): number[] {
    return [...this.modules.values()].filter(({ norm }) => norm === 0).map(({ index }) => index);
  }

  get notFinite(): number {
    return [...this.tensors.values()].reduce((sum, values) => sum + (values.notFinite > 0 ? 1 : 0), 0);
  }
}
