"""Makes test/goldens/models: tiny random checkpoints of each family and option, with transformers' logits.

Each folder holds config.json, safetensors and expected.safetensors: input_ids [2, S] and lengths [2]
(int64; rows are right-padded), logits [2, S, vocab] (float32, zero at padded positions).
For the families with rotary positions, config.older.json says the same in the form of transformers 4.
"""

import json
import shutil
import sys

import torch
from safetensors.torch import load_file
from transformers import GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from transformers import AutoModelForCausalLM

from golden import MODELS, VOCAB, generator, load_base, logits_of, random_ids, write_json, write_tensors

LENGTHS = [20, 13]


def rotary(cls, **over):
    """A small config of a Llama-like family; 2 heads of 16 leave room for 8 distinct rotary frequencies."""
    settings = dict(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, tie_word_embeddings=False,
    )
    settings.update(over)
    return cls(**settings)


def scaled(rope_type: str, theta: float = 500.0, **params):
    return {"rope_type": rope_type, "rope_theta": theta, **params}


def gpt2(**over):
    # Dropout is off so that the same checkpoints serve as training references in train mode.
    settings = dict(
        vocab_size=VOCAB, n_positions=32, n_embd=32, n_layer=2, n_head=2, bos_token_id=100, eos_token_id=100,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )
    settings.update(over)
    return GPT2Config(**settings)


# name: (config, options). Options: dtype, shard, base_class, lengths, short (a second, shorter input).
CASES = {
    "llama-plain": (rotary(LlamaConfig, num_hidden_layers=3), {}),
    "llama-gqa-tied": (
        rotary(LlamaConfig, hidden_size=48, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
        {},
    ),
    "llama-rope-llama3": (
        rotary(LlamaConfig, rope_parameters=scaled(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)),
        {},
    ),
    "llama-rope-linear": (rotary(LlamaConfig, rope_parameters=scaled("linear", factor=2.5)), {"old_key": "type"}),
    # Dynamic scaling acts only beyond max_position_embeddings, and by the padded length of the batch.
    "llama-rope-dynamic": (
        rotary(LlamaConfig, max_position_embeddings=12, rope_parameters=scaled("dynamic", factor=2.0)),
        {"old_key": "type", "short": [9, 5]},
    ),
    "llama-rope-yarn": (
        rotary(LlamaConfig, max_position_embeddings=192, rope_parameters=scaled("yarn", factor=4.0, original_max_position_embeddings=48)), {}),
    "llama-rope-yarn-attention-factor": (
        rotary(LlamaConfig, max_position_embeddings=192, rope_parameters=scaled(
            "yarn", factor=4.0, attention_factor=1.3, beta_fast=3.0, beta_slow=0.5,
            original_max_position_embeddings=48)), {}),
    "llama-rope-yarn-mscale": (
        rotary(LlamaConfig, max_position_embeddings=192, rope_parameters=scaled(
            "yarn", factor=4.0, mscale=0.7, mscale_all_dim=1.2, beta_fast=2.0, beta_slow=0.25, truncate=False,
            original_max_position_embeddings=48)), {}),
    "llama-biases": (rotary(LlamaConfig, attention_bias=True, mlp_bias=True), {}),
    "llama-head-dim": (
        rotary(LlamaConfig, hidden_size=36, num_attention_heads=3, num_key_value_heads=1, head_dim=16), {}),
    "llama-gelu-eps": (rotary(LlamaConfig, hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-2), {}),
    # Llama 2 checkpoints carry rotary_emb.inv_freq tensors, which are derived and ignored.
    "llama-f16": (rotary(LlamaConfig), {"dtype": torch.float16, "surplus": "inv_freq"}),
    "llama-bf16-sharded": (
        rotary(LlamaConfig, num_attention_heads=4, num_key_value_heads=2),
        {"dtype": torch.bfloat16, "shard": "12KB"},
    ),
    "llama-base-class": (rotary(LlamaConfig, tie_word_embeddings=True), {"base_class": True}),
    "mistral-sliding": (rotary(MistralConfig, num_attention_heads=4, num_key_value_heads=2, sliding_window=6), {}),
    "mistral-full": (rotary(MistralConfig, sliding_window=None), {"dtype": torch.bfloat16}),
    "qwen2": (rotary(Qwen2Config, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True), {}),
    "qwen2-sliding": (
        rotary(Qwen2Config, num_hidden_layers=3, use_sliding_window=True, sliding_window=5, max_window_layers=1), {}),
    "qwen3": (rotary(Qwen3Config, num_attention_heads=4, num_key_value_heads=2, head_dim=12), {}),
    "qwen3-bias-tied": (
        rotary(Qwen3Config, num_attention_heads=2, num_key_value_heads=1, head_dim=16, attention_bias=True,
               tie_word_embeddings=True), {"dtype": torch.bfloat16}),
    "gpt2": (gpt2(), {}),
    "gpt2-options": (
        gpt2(scale_attn_by_inverse_layer_idx=True, activation_function="relu", n_inner=56, tie_word_embeddings=False,
             layer_norm_epsilon=1e-3, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1), {}),
    "gpt2-gelu-unscaled": (gpt2(activation_function="gelu", scale_attn_weights=False), {"dtype": torch.float16}),
    # The first GPT-2 files name no "transformer." prefix and store the causal mask as attn.bias.
    "gpt2-base-class": (gpt2(n_layer=1), {"base_class": True, "surplus": "attn_bias"}),
}


def randomise(model, gen):
    """Fills every parameter so that each one shows in the logits, whose standard deviation is about 1."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=gen)
        if name.endswith("bias"):
            p.data = 0.2 * noise
        elif p.dim() == 1:
            p.data = 1 + 0.2 * noise
        elif "wpe" in name:
            p.data = 0.3 * noise
        elif "embed_tokens" in name or "wte" in name or "lm_head" in name:
            p.data = noise / p.shape[1] ** 0.5
        else:
            # Linear is [out, in]; GPT-2's Conv1D is [in, out]. The input width sets the scale.
            width = p.shape[0] if ".h." in f".{name}" else p.shape[1]
            p.data = 1.2 * noise / width ** 0.5


def older_config(config: dict, old_key: str) -> dict:
    """The same config as transformers 4 wrote it: rope_theta outside, rope_scaling, torch_dtype."""
    old = dict(config)
    rope = dict(old.pop("rope_parameters"))
    old["rope_theta"] = rope.pop("rope_theta")
    rope_type = rope.pop("rope_type")
    old["rope_scaling"] = None if rope_type == "default" else {old_key: rope_type, **rope}
    old["torch_dtype"] = old.pop("dtype")
    old["transformers_version"] = "4.45.0"
    return dict(sorted(old.items()))


def add_surplus(folder, kind: str):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    if kind == "inv_freq":
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = 1 / 10000 ** (torch.arange(0, 16, 2) / 16)
    else:
        tensors["h.0.attn.bias"] = torch.tril(torch.ones(32, 32)).view(1, 1, 32, 32)
    write_tensors(path, tensors)


def check_same(name, folder, config_text, ids, mask, logits):
    """Another config.json for the same weights must give the same logits."""
    path = folder / "config.json"
    kept = path.read_text()
    path.write_text(config_text)
    difference = (logits_of(load_base(folder), ids, mask) - logits).abs().max().item()
    path.write_text(kept)
    assert difference == 0, f"{name}: config.older.json gives other logits ({difference})"


def make(name: str):
    config, options = CASES[name]
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomise(model, generator(name))
    model.tie_weights()
    model.to(options.get("dtype", torch.float32))
    saved = model.base_model if options.get("base_class") else model
    saved.save_pretrained(folder, max_shard_size=options.get("shard", "5GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if "surplus" in options:
        add_surplus(folder, options["surplus"])

    written = json.loads((folder / "config.json").read_text())
    written["architectures"] = [type(model).__name__]
    write_json(folder / "config.json", written)

    ids, mask = random_ids(name, LENGTHS)
    logits = logits_of(load_base(folder), ids, mask)
    # Under a causal mask padding on the right changes nothing before it, so the check leaves the mask out.
    exact = logits_of(load_base(folder, torch.float64), ids, torch.ones_like(mask)) * mask[..., None]
    expected = {"input_ids": ids, "lengths": mask.sum(1), "logits": logits}
    if "short" in options:
        short_ids, short_mask = random_ids(f"{name}/short", options["short"])
        short = logits_of(load_base(folder), short_ids, short_mask)
        expected |= {"short_input_ids": short_ids, "short_lengths": short_mask.sum(1), "short_logits": short}
    write_tensors(folder / "expected.safetensors", expected)

    if "rope_parameters" in written:
        older = older_config(written, options.get("old_key", "rope_type"))
        write_json(folder / "config.older.json", older)
        check_same(name, folder, json.dumps(older), ids, mask, logits)

    real = logits[mask.bool()]
    print(f"{name:34} std {real.std():.2f}  float32 against float64 {(logits - exact).abs().max():.1e}"
          f"  {sum(f.stat().st_size for f in folder.iterdir()) / 1024:.0f} KiB")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
