"""Makes test/goldens/adapters: PEFT adapters with random non-zero tensors, and PEFT's logits with them.

Each case holds adapter/ (PEFT's files), case.json (the base model's name and what to look at) and
expected.safetensors: input_ids [2, S] and lengths [2] (int64, right-padded), logits and merged_logits
[2, S, vocab] (float32, zero at padded positions; merged_logits come from merge_and_unload).
"""

import json
import shutil
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from golden import (
    GOLDENS, base_path, generator, load_base, logits_of, random_ids, tidy_adapter, versions, write_json, write_tensors,
)

OUT = GOLDENS / "adapters"
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TIED = "The tied head keeps the original embedding, so a right merge unties it. PEFT's does not: no merged_logits."


def lora(base: str, note: str = "", save=None, keep_init=False, strip=None, minimal=False, **settings):
    return dict(base=base, note=note, save=save or {}, keep_init=keep_init, strip=strip, minimal=minimal,
                lora=dict(r=4, lora_alpha=8) | settings)


CASES = {
    "llama-qv": lora("llama-plain", target_modules=["q_proj", "v_proj"]),
    "llama-minimal-config": lora(
        "llama-plain", "adapter_config.json holds peft_type, target_modules, r and a float alpha, and unknown keys.",
        target_modules=["q_proj", "v_proj"], lora_alpha=6.5, minimal=True),
    "llama-patterns": lora(
        "llama-plain", "The first match in file order wins; the file's keys are sorted.",
        target_modules="all-linear",
        rank_pattern={"mlp.down_proj": 2, r"model\.layers\.[12]\.self_attn\.q_proj": 6, "self_attn.q_proj": 3},
        alpha_pattern={"v_proj": 4, "layers.0.mlp.up_proj": 12.5}),
    "llama-rslora": lora("llama-gqa-tied", target_modules="all-linear", use_rslora=True, r=8, lora_alpha=6),
    "qwen2-all-linear": lora("qwen2", target_modules="all-linear"),
    "qwen3-attention": lora("qwen3", target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
    "mistral-bf16-base": lora("mistral-full", "The base is BF16, the adapter float32.", target_modules=["down_proj"]),
    "llama-rank-above-width": lora("llama-plain", "r exceeds in and out.", target_modules=["q_proj"], r=40),
    "llama-embedding": lora(
        "llama-plain", "PEFT also stores the frozen embedding (embed_tokens.base_layer.weight).",
        target_modules=["q_proj", "embed_tokens"]),
    "llama-embedding-alone": lora(
        "llama-plain", "Saved with save_embedding_layers=False.",
        target_modules=["embed_tokens"], save=dict(save_embedding_layers=False)),
    "llama-tied-embedding": lora(
        "llama-gqa-tied", TIED,
        target_modules=["embed_tokens"], save=dict(save_embedding_layers=False)),
    "llama-target-lm-head": lora(
        "llama-plain", "PEFT also stores the frozen head (lm_head.base_layer.weight).",
        target_modules=["v_proj", "lm_head"]),
    "llama-modules-to-save-head": lora(
        "llama-plain", target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]),
    "llama-modules-to-save-norm": lora(
        "llama-plain", "\"norm\" is matched by bare endswith: it also selects the layers' norms.",
        target_modules=["q_proj"], modules_to_save=["norm"]),
    "llama-tied-modules-to-save-embedding": lora(
        "llama-gqa-tied", "The saved embedding is a copy; the tied head keeps the original.",
        target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    "llama-layers": lora("llama-plain", target_modules=["q_proj", "up_proj"], layers_to_transform=[0, 2]),
    "llama-layers-pattern": lora(
        "llama-plain", target_modules=["o_proj"], layers_to_transform=1, layers_pattern="layers"),
    "llama-regex": lora("llama-plain", target_modules=r".*\.layers\.[02]\.self_attn\.(q|v)_proj"),
    "llama-exclude": lora(
        "llama-plain", target_modules=["q_proj", "k_proj", "down_proj"],
        exclude_modules=["model.layers.1.mlp.down_proj", "k_proj"]),
    "llama-lora-bias": lora("llama-biases", "lora_B has a bias.", target_modules=["q_proj", "down_proj"], lora_bias=True),
    "gpt2-c-attn": lora("gpt2", target_modules=["c_attn"], fan_in_fan_out=True),
    "gpt2-all-linear": lora("gpt2-options", target_modules="all-linear", fan_in_fan_out=True),
    "gpt2-c-proj-flag-wrong": lora(
        "gpt2", "adapter_config.json says fan_in_fan_out: false; the layer decides.",
        target_modules=["c_proj"], fan_in_fan_out=True),
    "gpt2-wte": lora("gpt2", "wte is not on PEFT's list of embeddings, so nothing extra is stored. " + TIED,
                     target_modules=["wte", "c_fc"], fan_in_fan_out=True),
    "gpt2-modules-to-save": lora("gpt2", target_modules=["c_attn"], modules_to_save=["ln_f"], use_rslora=True,
                                 fan_in_fan_out=True),
    "gpt2-bias-lora-only": lora("gpt2", "Biases of the targeted modules are stored as base_layer.bias.",
                                target_modules=["c_attn", "c_proj"], bias="lora_only", fan_in_fan_out=True),
    "gpt2-bias-lora-only-lost": lora(
        "gpt2", "As written up to PEFT 0.20.0: trained biases are not in the file, and the base's apply.",
        target_modules=["c_attn", "c_proj"], bias="lora_only", fan_in_fan_out=True, strip=".bias"),
    "gpt2-bias-all": lora("gpt2", "Every bias of the model is stored.",
                          target_modules=["c_attn"], bias="all", fan_in_fan_out=True),
    "llama-bias-all": lora("llama-biases", target_modules=["q_proj", "down_proj"], bias="all"),
    "llama-dora": lora("llama-plain", target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True),
    "gpt2-dora": lora("gpt2", target_modules=["c_attn"], use_dora=True, fan_in_fan_out=True),
    "llama-init-true": lora("llama-plain", "As initialised: B is zero.", target_modules=["q_proj", "down_proj"],
                            r=8, keep_init=True),
    "llama-init-false": lora("llama-plain", "As initialised: B is random too.", target_modules=["q_proj", "down_proj"],
                             r=8, init_lora_weights=False, keep_init=True),
    "llama-init-gaussian": lora("llama-plain", "As initialised: A has standard deviation 1/r, B is zero.",
                                target_modules=["q_proj", "down_proj"], r=8, init_lora_weights="gaussian",
                                keep_init=True),
    "llama-init-orthogonal": lora("llama-plain", "As initialised: A and B are non-zero, BA is zero.",
                                  target_modules=["q_proj", "down_proj"], r=8, init_lora_weights="orthogonal",
                                  keep_init=True),
}


def randomise(model, gen):
    """Moves every trainable tensor so far that each one shows in the logits."""
    for n, p in model.named_parameters():
        if not p.requires_grad:
            continue
        noise = torch.randn(p.shape, generator=gen)
        if "lora_A" in n or "lora_B" in n or "lora_embedding" in n:
            # With s = 2 and r = 4 the update has about a third of the base weights' size.
            p.data = (0.13 if noise.dim() > 1 else 0.1) * noise
        else:
            p.data = p.data + 0.1 * noise


def make(name: str):
    case, folder = CASES[name], OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    adapter = folder / "adapter"
    torch.manual_seed(generator(name).initial_seed())
    model = get_peft_model(load_base(base_path(case["base"])), LoraConfig(task_type="CAUSAL_LM", **case["lora"]))
    if not case["keep_init"]:
        randomise(model, generator(f"{name}/tensors"))
    ids, mask = random_ids(name, [16, 11])
    in_memory = logits_of(model, ids, mask)

    model.peft_config["default"].base_model_name_or_path = base_path(case["base"])
    model.save_pretrained(adapter, **case["save"])
    tidy_adapter(adapter)
    rewrite(adapter, case, name)

    base_logits = logits_of(load_base(base_path(case["base"])), ids, mask)
    loaded = PeftModel.from_pretrained(load_base(base_path(case["base"])), adapter)
    logits = logits_of(loaded, ids, mask)
    merged = logits_of(loaded.merge_and_unload(), ids, mask)
    if not case["strip"]:
        assert (logits - in_memory).abs().max() < 1e-6, f"{name}: the file does not hold the whole adapter"
    expected = {"input_ids": ids, "lengths": mask.sum(1), "logits": logits}
    if TIED not in case["note"]:
        assert (logits - merged).abs().max() < 2e-5, f"{name}: merging changes the logits"
        expected["merged_logits"] = merged
    write_tensors(folder / "expected.safetensors", expected)
    write_json(folder / "case.json", {"base": case["base"], "note": case["note"], "versions": versions()})
    print(f"{name:38} acts {(logits - base_logits).abs().max():.2f}  std {logits[mask.bool()].std():.2f}  "
          f"merged {(logits - merged).abs().max():.1e}  {len(load_file(adapter / 'adapter_model.safetensors'))} tensors")


def rewrite(adapter, case, name):
    """What PEFT 0.21 itself does not write: older and shorter files."""
    if case["strip"]:
        path = adapter / "adapter_model.safetensors"
        write_tensors(path, {k: v for k, v in load_file(path).items() if not k.endswith(case["strip"])})
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    if case["minimal"]:
        keep = ("peft_type", "target_modules", "r", "lora_alpha")
        write_json(path, {"a_key_from_the_future": {"x": 1}} | {k: config[k] for k in keep})
    if name == "gpt2-c-proj-flag-wrong":
        write_json(path, config | {"fan_in_fan_out": False})


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for case_name in sys.argv[1:] or CASES:
        make(case_name)
