// The forward pass of one graph: answers a model's calls with base weights, trained stand-ins, adapters and an attention.

import type { AdapterPlan } from '../adapters/plan';
import type { SiteContext } from '../adapters/variant';
import type { DType } from '../dtype';
import { invariant } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import { float, type Value } from '../graph/graph';
import type {
  AttentionCall,
  EmbeddingModule,
  Forward,
  LinearModule,
  Model,
  Module,
  NormModule,
} from '../models/architecture';
import { modelTensors } from '../models/architecture';

/** What a graph wants from its adapters beyond the model. */
export interface AdapterEnvironment {
  plan: AdapterPlan;
  /** Trained tensors by name, in the device's layout. */
  trained: ReadonlyMap<string, Value>;
  training: boolean;
  dropout?: DropoutSource;
  losses?: ExtraLoss[];
}

export interface DropoutSource {
  /** Masks and unscaled: Where(mask, x, 0). */
  apply(x: Value): { value: Value; keepScale: number };
}

/** A loss that a method adds to the task's. */
export interface ExtraLoss {
  name: string;
  value: Value;
  coefficient: number;
}

/** Implements Forward for a graph under construction; base weights become graph inputs when they are first used. */
export class ForwardPass implements Forward {
  readonly #modules: ReadonlyMap<string, Module>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #weights = new Map<string, Value>();
  readonly #scalars = new Map<string, Value>();

  constructor(
    readonly b: GraphBuilder,
    private readonly model: Model,
    readonly rows: number,
    readonly length: number,
    readonly positions: Value,
    private readonly attend: (f: Forward, call: AttentionCall) => Value,
    private readonly adapters?: AdapterEnvironment,
    private readonly weightType: DType = 'float32',
  ) {
    this.#modules = new Map(model.modules.map((module) => [module.path, module]));
    this.#shapes = new Map(modelTensors(model).map((tensor) => [tensor.name, tensor.shape]));
  }

  /** Names of the checkpoint tensors that the graph takes as inputs. */
  get baseInputs(): string[] {
    return [...this.#weights.keys()];
  }

  linear(path: string, x: Value): Value {
    const module = this.#module(path) as LinearModule;
    return this.b.scope(path, () =>
      this.#stored(this.#adapted(module, x, (input, biased) => this.#product(module, input, biased))),
    );
  }

  embedding(path: string, ids: Value): Value {
    const module = this.#module(path) as EmbeddingModule;
    const look = (input: Value): Value =>
      this.b.op('Gather', [this.#parameter(path, 'weight', module.weight), input], { axis: 0 });
    return this.b.scope(path, () => this.#stored(this.#adapted(module, ids, look)));
  }

  norm(path: string, x: Value): Value {
    const module = this.#module(path) as NormModule;
    const { b } = this;
    const attributes = { axis: -1, epsilon: float(module.epsilon) } as const;
    const weight = this.#parameter(path, 'weight', `${path}.weight`);
    return b.scope(path, () => {
      // The gradient that comes out of a norm joins the stream of the blocks.
      const entered = b.op('Stored', [x], {}, { keep: 'never' });
      return b.keeping('cheap', () =>
        module.kind === 'rmsnorm'
          ? b.op('SimplifiedLayerNormalization', [entered, weight], attributes)
          : b.op(
              'LayerNormalization',
              [entered, weight, this.#parameter(path, 'bias', `${path}.bias`)],
              attributes,
            ),
      );
    });
  }

  attention(call: AttentionCall): Value {
    return this.attend(this, call);
  }

  /** A module's result, kept in the compute type whatever its adapter computed in. */
  #stored(x: Value): Value {
    return this.b.op('Stored', [x], {});
  }

  #adapted(
    module: LinearModule | EmbeddingModule,
    x: Value,
    base: (x: Value, biased: boolean) => Value,
  ): Value {
    const site = this.adapters?.plan.sites.get(module.path);
    if (!site || !this.adapters) return base(x, true);
    const { plan, trained, training, dropout, losses } = this.adapters;
    const { b } = this;
    const context: SiteContext = {
      b,
      site,
      training,
      parameter: (name) => {
        const value = trained.get(`${module.path}.${name}`) ?? trained.get(name);
        invariant(value, `${name} of ${module.path} is planned`);
        return value;
      },
      base: (input) => base(input, true),
      product: (input) => base(input, false),
      weight: () => this.#parameter(module.path, 'weight', module.weight),
      bias: () =>
        'bias' in module && module.bias
          ? this.#parameter(module.path, 'bias', `${module.path}.bias`)
          : undefined,
      siteCount: plan.sites.size,
      dropout: (input) => (training && dropout ? dropout.apply(input) : { value: input, keepScale: 1 }),
      scalar: (name) => this.#scalar(name),
      addLoss: (name, value, coefficient) =>
        losses?.push({ name: `${module.path}.${name}`, value, coefficient }),
    };
    return plan.variant.apply(context, x, plan.settings);
  }

  #product(module: LinearModule, x: Value, biased: boolean): Value {
    const weight = this.#parameter(module.path, 'weight', module.weight);
    const c = biased && module.bias ? this.#parameter(module.path, 'bias', `${module.path}.bias`) : undefined;
    return this.b.gemm(x, weight, { transB: module.kind === 'linear', c });
  }

  /** A base parameter: what trains in its place, or the checkpoint's tensor. */
  #parameter(path: string, part: 'weight' | 'bias', tensor: string): Value {
    const replacement = this.adapters?.plan.replaced.get(`${path}.${part}`);
    if (replacement) return this.adapters!.trained.get(replacement)!;
    let value = this.#weights.get(tensor);
    if (!value) {
      const shape = this.#shapes.get(tensor);
      invariant(shape, `${tensor} is a tensor of the model`);
      value = this.b.input(tensor, this.weightType, shape);
      this.#weights.set(tensor, value);
    }
    return value;
  }

  #scalar(name: string): Value {
    let value = this.#scalars.get(name);
    if (!value) {
      value = this.b.input(name, 'float32', []);
      this.#scalars.set(name, value);
    }
    return value;
  }

  #module(path: string): Module {
    const module = this.#modules.get(path);
    invariant(module, `${path} is a module of ${this.model.modelType}`);
    return module;
  }
}
