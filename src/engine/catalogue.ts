// What this version can do: the entries that a recipe's axes choose from, each described by the file that implements it.
import { initialisations } from './adapters/initialisation';
import { variants } from './adapters/registry';
import { attentionEntries } from './models/attentions';
import { optimizers } from './optim/registry';
import { quantizations } from './quantization/entries';
import type { RecipeCatalogue } from './recipe/catalogue';

export const catalogue: RecipeCatalogue = {
  adapter: variants.map((variant) => variant.entry),
  init_lora_weights: initialisations.map((initialisation) => initialisation.entry),
  load_in_4bit: quantizations,
  optim: optimizers.map((optimizer) => optimizer.entry),
  attention: attentionEntries,
  presets: [
    {
      id: 'lora',
      label: 'LoRA on all linear layers',
      summary: 'The defaults, by name.',
      values: { adapter: 'lora' },
    },
    {
      id: 'rslora',
      label: 'rsLoRA: LoRA whose scaling suits high ranks',
      summary: 'Scales by lora_alpha / √r, so that a higher rank learns more instead of more slowly.',
      values: { adapter: 'lora', use_rslora: true, r: 64, lora_alpha: 16 },
    },
    {
      id: 'dora',
      label: 'DoRA: LoRA with trained magnitudes',
      summary: 'Direction by LoRA, magnitude by a vector; good at low ranks.',
      values: { adapter: 'dora', r: 8 },
    },
    {
      id: 'lora_fa',
      label: 'LoRA-FA: LoRA that keeps few activations',
      summary: 'A stays frozen, so that the inputs of adapted layers need not be kept.',
      values: { adapter: 'lora_fa' },
    },
    {
      id: 'vera',
      label: 'VeRA: the smallest files',
      summary: 'Shared random matrices; only vectors train, at ten times the learning rate.',
      values: { adapter: 'vera', learning_rate: 2e-3 },
    },
    {
      id: 'adalora',
      label: 'AdaLoRA: rank where it is needed',
      summary: 'Starts at rank 12 and ends at 8 on average, spread by importance.',
      values: { adapter: 'adalora', learning_rate: 1e-3 },
    },
    {
      id: 'mora',
      label: 'MoRA: a square matrix of high rank',
      summary: 'For learning facts by heart; as many parameters as LoRA at the same r.',
      values: { adapter: 'mora', r: 8 },
    },
    {
      id: 'delta_lora',
      label: 'Delta-LoRA: the base weight follows',
      summary: 'LoRA without dropout whose steps move the base weight too.',
      values: { adapter: 'delta_lora', lora_dropout: 0 },
    },
    {
      id: 'relora',
      label: 'ReLoRA: rank by restarts',
      summary: 'Merges the adapter every 500 steps and starts anew, up to three times.',
      values: { adapter: 'relora' },
    },
    {
      id: 'o_lora',
      label: 'O-LoRA: one task after another without forgetting',
      summary: 'previous_adapters act and stay as they are; the new one learns at right angles to them.',
      values: { adapter: 'o_lora', r: 8, lora_alpha: 32, lora_dropout: 0.1 },
    },
    {
      id: 'am_lora',
      label: 'AM-LoRA: one LoRA per task, mixed by gates',
      summary: 'previous_adapters stay as they are; gates learn which task each token needs.',
      values: { adapter: 'am_lora', r: 8, lora_alpha: 16 },
    },
    {
      id: 'lora_xs',
      label: 'LoRA-XS: r·r numbers per module',
      summary:
        'A square matrix between the singular directions of each weight, at ten times the learning rate.',
      values: { adapter: 'lora_xs', learning_rate: 2e-3 },
    },
    {
      id: 'lora_drop',
      label: 'LoRA-drop: adapters where they do most',
      summary: 'Chooses on a tenth of the data which modules keep a pair of their own; the others share.',
      values: { adapter: 'lora_drop' },
    },
    {
      id: 'lora_plus',
      label: 'LoRA+: B learns faster than A',
      summary: 'LoRA with 16 times the learning rate for B, and half of it for A.',
      values: { adapter: 'lora', loraplus_lr_ratio: 16, learning_rate: 1e-4 },
    },
    {
      id: 'pissa',
      label: 'PiSSA: LoRA that starts at the largest directions of the weights',
      summary: 'The loss falls faster from the first steps; saved as a LoRA of twice the rank.',
      values: { adapter: 'lora', init_lora_weights: 'pissa_niter_16', r: 16, lora_alpha: 16 },
    },
    {
      id: 'milora',
      label: 'MiLoRA: LoRA that starts at the smallest directions of the weights',
      summary: 'Forgets less of what the model knows; saved as a LoRA of twice the rank.',
      values: { adapter: 'lora', init_lora_weights: 'milora', r: 16, lora_alpha: 16 },
    },
    {
      id: 'olora',
      label: 'OLoRA: LoRA that starts from an orthonormal basis',
      summary: 'A QR decomposition of every weight, computed in a moment.',
      values: { adapter: 'lora', init_lora_weights: 'olora', r: 16, lora_alpha: 16 },
    },
    {
      id: 'corda',
      label: 'CorDA: LoRA that starts where the data uses the weights most',
      summary: 'Looks at 256 examples first; corda_method: kpm preserves what they need instead.',
      values: { adapter: 'lora', init_lora_weights: 'corda', r: 16, lora_alpha: 16 },
    },
    {
      id: 'eva',
      label: 'EVA: LoRA along the principal directions of the data',
      summary: 'Looks at the data first and gives more rank to modules whose inputs vary more.',
      values: { adapter: 'lora', init_lora_weights: 'eva' },
    },
    {
      id: 'qlora',
      label: 'QLoRA: LoRA on a base in 4 bits',
      summary: 'The frozen weights take an eighth of their fp32 size; the settings are those of the paper.',
      values: {
        adapter: 'lora',
        load_in_4bit: true,
        bnb_4bit_quant_type: 'nf4',
        bnb_4bit_use_double_quant: true,
        r: 64,
        lora_alpha: 16,
        target_modules: 'all-linear',
        learning_rate: 2e-4,
        lr_scheduler_type: 'constant',
        max_grad_norm: 0.3,
        optim: 'paged_adamw_32bit',
      },
    },
    {
      id: 'loftq',
      label: 'LoftQ: LoRA that makes up for a 4-bit base',
      summary: 'Trains on the NF4 values of the weights, from a start that corrects much of their error.',
      values: { adapter: 'lora', init_lora_weights: 'loftq', r: 16, lora_alpha: 16 },
    },
    {
      id: 'longlora',
      label: 'LongLoRA: longer contexts at a fraction of the cost of attention',
      summary:
        'Shifted blocks of tokens while it trains, stretched rotary positions, and trained norms and embeddings. Set max_length to the new context.',
      values: {
        adapter: 'lora',
        attention: 'shift_short',
        rope_scaling: 'linear',
        r: 8,
        lora_alpha: 16,
        target_modules: String.raw`.*\.(self_attn|attn)\.(q_proj|k_proj|v_proj|o_proj|c_attn|c_proj)`,
        modules_to_save: ['all-embeddings', 'all-norms'],
        learning_rate: 2e-5,
        lr_scheduler_type: 'constant_with_warmup',
        warmup_steps: 20,
      },
    },
    {
      id: 'full',
      label: 'Full fine-tuning',
      summary: 'Trains every weight, at a tenth of the learning rate.',
      values: { adapter: 'none', learning_rate: 2e-5 },
    },
  ],
};
