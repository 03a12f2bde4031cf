// The forward pass of one graph: answers a model's calls with base weights, trained stand-ins, adapters and an attention.

import type { AdapterPlan } from '../adapters/plan';
import type { SiteContext, Variant } from '../adapters/variant';
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
import { blocksOf, type PackedForm, packedParts } from '../quantization/packedWeight';

/** What a graph wants from its adapters beyond the model. */
export interface AdapterEnvironment {
  plan: AdapterPlan;
  /** Trained tensors by name, in the device's layout. */
  trained: ReadonlyMap<string, Value>;
  training: boolean;
  dropout?: DropoutSource;
  losses?: ExtraLoss[];
  /** Takes what methods hand out (`observe`), `<module path>.<name>`. */
  observed?: { name: string; value: Value }[];
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

/** The form of every weight that lies in four bits, by the checkpoint tensor's name. */
export type PackedWeights = ReadonlyMap<string, PackedForm>;

/** Implements Forward for a graph under construction; base weights become graph inputs when they are first used. */
export class ForwardPass implements Forward {
  readonly #modules: ReadonlyMap<string, Module>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #weights = new Map<string, Value>();
  /** Parts of weights in four bits: codes, block sizes. */
  readonly #parts = new Map<string, Value>();
  readonly #scalars = new Map<string, Value>();
  readonly #moved = new Map<string, Value>();
  #shift: ReturnType<NonNullable<Variant['shift']>> | undefined;

  constructor(
    readonly b: GraphBuilder,
    private readonly model: Model,
    readonly rows: number,
    readonly length: number,
    readonly positions: Value,
    private readonly attend: (f: Forward, call: AttentionCall) => Value,
    private readonly adapters?: AdapterEnvironment,
    /** Weights that lie in four bits, by name. */
    private readonly packed: PackedWeights = new Map(),
  ) {
    this.#modules = new Map(model.modules.map((module) => [module.path, module]));
    this.#shapes = new Map(modelTensors(model).map((tensor) => [tensor.name, tensor.shape]));
  }

  /** Names of the checkpoint tensors, and of their parts, that the graph takes as inputs. */
  get baseInputs(): string[] {
    return [...this.#weights.keys(), ...this.#parts.keys()];
  }

  /** Those among them that lie in the compute type. */
  get storedInputs(): string[] {
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
    const { plan, trained, training, dropout, losses, observed } = this.adapters;
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
      weight: () => this.#weight(module),
      bias: () =>
        'bias' in module && module.bias
          ? this.#parameter(module.path, 'bias', `${module.path}.bias`)
          : undefined,
      siteCount: plan.sites.size,
      dropout: (input) => (training && dropout ? dropout.apply(input) : { value: input, keepScale: 1 }),
      scalar: (name) => this.#scalar(name),
      observe: (name, value) => observed?.push({ name: `${module.path}.${name}`, value }),
      addLoss: (name, value, coefficient) =>
        losses?.push({ name: `${module.path}.${name}`, value, coefficient }),
    };
    return plan.variant.apply(context, x, plan.settings);
  }

  #product(module: LinearModule, x: Value, biased: boolean): Value {
    const c = biased && module.bias ? this.#parameter(module.path, 'bias', `${module.path}.bias`) : undefined;
    const form = this.#packedForm(module);
    if (form) return this.b.gemm(x, this.#unpacked(module.weight, form, false), { transB: true, c });
    const weight = this.#parameter(module.path, 'weight', module.weight);
    return this.b.gemm(x, weight, { transB: module.kind === 'linear', c });
  }

  /** The module's weight as the checkpoint has it. */
  #weight(module: LinearModule | EmbeddingModule): Value {
    const form = this.#packedForm(module);
    if (form) return this.#unpacked(module.weight, form, form.transposed);
    return this.#parameter(module.path, 'weight', module.weight);
  }

  /** The form of a weight in four bits, unless another trains in its place. */
  #packedForm(module: LinearModule | EmbeddingModule): PackedForm | undefined {
    if (this.adapters?.plan.replaced.has(`${module.path}.weight`)) return undefined;
    return this.packed.get(module.weight);
  }

  /** The values of a weight in four bits, [out, in] or [in, out]; the backward pass makes them again. */
  #unpacked(tensor: string, form: PackedForm, transposed: boolean): Value {
    const { b } = this;
    const [codes, sizes, ...nested] = packedParts(form).map(({ suffix, dtype, shape }) => {
      const name = `${tensor}${suffix}`;
      let part = this.#parts.get(name);
      if (!part) {
        part = b.input(name, dtype, shape);
        this.#parts.set(name, part);
      }
      return part;
    }) as [Value, Value, ...Value[]];
    return b.keeping('never', () => {
      const blocks = blocksOf(form);
      const absmax = form.doubleQuant ? b.op('DequantizeSizes', [sizes, ...nested], { blocks }) : sizes;
      return b.op('DequantizeWeight', [codes, absmax], {
        out_features: form.outFeatures,
        in_features: form.inFeatures,
        block_size: form.blockSize,
        quant_type: form.quantType,
        transposed: transposed ? 1 : 0,
      });
    });
  }

  /** A base parameter: what trains in its place, or the checkpoint's tensor. */
  #parameter(path: string, part: 'weight' | 'bias', tensor: string): Value {
    const replacement = this.adapters?.plan.replaced.get(`${path}.${part}`);
    if (replacement) return this.adapters!.trained.get(replacement)!;
    let value = this.#weights.get(tensor);
    if (!value) {
      const shape = this.#shapes.get(tensor);
      invariant(shape, `${tensor} is a tensor of the model`);
      value = this.b.input(tensor, 'float32', shape);
      this.#weights.set(tensor, value);
    }
    return this.#shifted(tensor, value);
  }

  /** A base tensor with what its method adds to it, once per graph. */
  #shifted(name: string, value: Value): Value {
    if (!this.adapters?.plan.variant.shift) return value;
    const { plan, trained } = this.adapters;
    this.#shift ??= plan.variant.shift!(this.b, plan.settings, (own) => trained.get(own));
    let moved = this.#moved.get(name);
    if (!moved) {
      const added = this.#shift({ name, shape: value.shape });
      moved = added ? this.b.add(value, added) : value;
      this.#moved.set(name, moved);
    }
    return moved;
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
