"""Makes test/goldens/training: 50 steps of PEFT + PyTorch (float32, CPU, no dropout) on the tiny checkpoints.

Each case holds initial_adapter/ and final_adapter/ (PEFT's files; final_model/ for full fine-tuning),
batches.safetensors (input_ids and labels, int64 [steps, micro-batches, rows, S]; lengths [steps, micro-batches, rows])
and expected.json: the settings, and each step's loss, gradient norm before clipping and learning rate.

Every case also runs in float64 from the same start, which shows how far rounding alone moves the numbers.
Rows that it decides are listed in expected.json under "undetermined", and no test should compare them.
"""

import shutil
import sys
import warnings

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import Trainer, get_scheduler

from golden import GOLDENS, VOCAB, base_path, generator, load_base, tidy_adapter, versions, write_json, write_tensors

STEPS = 50
OUT = GOLDENS / "training"
# The largest difference between float32 and float64 results that leaves a test at 1e-3 meaningful.
DETERMINED = 2.5e-4
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# name: base, lora (LoraConfig's arguments; None for full fine-tuning), lr, schedule, warmup, and what differs.
CASES = {
    "llama-lora": dict(
        base="llama-plain", lora=dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
        lr=5e-3, schedule="cosine", warmup=5),
    "qwen2-all-linear-rslora": dict(
        base="qwen2", lora=dict(r=8, lora_alpha=16, target_modules="all-linear", use_rslora=True),
        lr=2e-3, schedule="linear", warmup=0, max_norm=0),  # 0 turns clipping off.
    "gpt2-conv1d-bias-lora-only": dict(
        base="gpt2", lora=dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_proj"], bias="lora_only",
                               fan_in_fan_out=True),
        lr=3e-3, schedule="constant", warmup=0, random_b=True),
    "llama-patterns-modules-to-save": dict(
        base="llama-plain",
        lora=dict(
            r=8, lora_alpha=16, target_modules=[*LINEARS, "embed_tokens"],
            rank_pattern={"mlp.down_proj": 4, "model.layers.1.self_attn.q_proj": 12, "self_attn.q_proj": 6},
            alpha_pattern={"v_proj": 4, "layers.0.mlp.up_proj": 24.5},
            modules_to_save=["lm_head", "model.norm"]),
        lr=2e-3, schedule="cosine", warmup=5),
    "llama-full": dict(
        base="llama-gqa-tied", lora=None, lr=2e-3, schedule="constant_with_warmup", warmup=5, grouping="hf"),
    "llama-accumulation": dict(
        base="llama-plain", lora=dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
        lr=5e-3, schedule="linear", warmup=5, accumulation=2, random_b=True),
    "llama-bias-all": dict(
        base="llama-biases", lora=dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], bias="all"),
        lr=3e-3, schedule="cosine", warmup=5, grouping="hf"),
    "gpt2-bias-all": dict(
        base="gpt2", lora=dict(r=4, lora_alpha=8, target_modules=["c_attn"], bias="all", fan_in_fan_out=True),
        lr=3e-3, schedule="linear", warmup=5, grouping="hf"),
}


def make_batches(name: str, accumulation: int):
    """Text with something to learn: a noisy walk through 12 of the ids. Row lengths and label masks vary."""
    gen = generator(f"{name}/batches")
    rows, length = (2, 16) if accumulation > 1 else (4, 16)
    shape = (STEPS, accumulation, rows, length)
    alphabet = 5 + torch.randperm(VOCAB - 5, generator=gen)[:12]
    walk = torch.randint(0, 12, shape[:3], generator=gen)[..., None] + 5 * torch.arange(length)
    jump = (torch.rand(shape, generator=gen) < 0.15) * torch.randint(0, 12, shape, generator=gen)
    ids = alphabet[(walk + jump.cumsum(-1)) % 12]
    lengths = torch.randint(6, length + 1, shape[:3], generator=gen)
    lengths[..., 0] = length
    prompts = torch.randint(0, 5, shape[:3], generator=gen)
    if accumulation > 1:
        # One micro-batch of each step has far fewer trained tokens than the other.
        prompts[torch.arange(STEPS), torch.arange(STEPS) % 2] += 5
    at = torch.arange(length)
    real = at < lengths[..., None]
    ids = torch.where(real, ids, 0)
    labels = torch.where(real & (at >= prompts[..., None]), ids, -100)
    return {"input_ids": ids, "labels": labels, "lengths": lengths}


def file_name(name: str) -> str:
    """A parameter's name as PEFT writes it."""
    return name.replace(".modules_to_save.default.", ".").replace(".default", "")


def adapted_model(case, folder, dtype):
    """The base with the adapter from the file, so that the file is the whole truth about the start."""
    base = load_base(base_path(case["base"]), dtype)
    return PeftModel.from_pretrained(base, folder, is_trainable=True) if case["lora"] else base


def save_adapter(model, folder):
    """Saves, and fails if a trainable tensor did not reach the file."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tidy_adapter(folder)
    stored = load_file(folder / "adapter_model.safetensors")
    trained = {file_name(n) for n, p in model.named_parameters() if p.requires_grad}
    missing = trained - set(stored)
    assert not missing, f"PEFT did not store {sorted(missing)}"


def initial_adapter(name, case, folder):
    torch.manual_seed(generator(f"{name}/init").initial_seed())
    base = load_base(base_path(case["base"]))
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **case["lora"]))
    if case.get("random_b"):
        gen = generator(f"{name}/random_b")
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.data = 0.02 * torch.randn(p.shape, generator=gen)
    model.peft_config["default"].base_model_name_or_path = base_path(case["base"])
    save_adapter(model, folder)


def parameter_groups(model, grouping: str, weight_decay: float):
    """"one": all trainable tensors decay. "hf": as in HF Trainer, biases and norms do not."""
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decayed = set(n for n, _ in trainable)
    if grouping == "hf":
        decayed &= set(Trainer.get_decay_parameter_names(None, model))
    return [
        {"weight_decay": wd, "names": [n for n, _ in part], "params": [p for _, p in part]}
        for wd, part in (
            (weight_decay, [x for x in trainable if x[0] in decayed]),
            (0.0, [x for x in trainable if x[0] not in decayed]),
        )
        if part
    ]


def train(model, case, batches, autocast=None):
    """`autocast`: the type that products compute in, as under the HF Trainer's bf16. Returns the per-step records and the parameter groups; the model is left trained."""
    model.train()
    groups = parameter_groups(model, case.get("grouping", "one"), 0.01)
    optimizer = torch.optim.AdamW(
        [{k: g[k] for k in ("params", "weight_decay")} for g in groups], lr=case["lr"], betas=(0.9, 0.999), eps=1e-8)
    scheduler = get_scheduler(case["schedule"], optimizer, case["warmup"], STEPS)
    trainable = [p for g in groups for p in g["params"]]
    records = []
    for step in range(STEPS):
        # Micro-batches become one big batch: the mean is over all their trained tokens.
        ids, labels, lengths = (batches[k][step].flatten(0, 1) for k in ("input_ids", "labels", "lengths"))
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        if autocast is not None:
            logits = logits.float()
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trainable, case.get("max_norm", 1.0) or float("inf"))
        records.append({
            "loss": loss.item(), "gradNorm": norm.item(), "learningRate": scheduler.get_last_lr()[0],
            "trainedTokens": (labels[:, 1:] != -100).sum().item(),
        })
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return records, groups


def undetermined(single, double):
    """Rows of trained tensors that rounding decides, and the largest difference from float64 in all others.

    The only such rows are GPT-2's key biases: softmax cancels them exactly, so their gradient is zero but
    for rounding, and Adam scales that up. (Rotary positions break the symmetry in the other families.)
    """
    exact = {n: p for n, p in double.named_parameters() if p.requires_grad}
    found, worst = [], 0.0
    for n, p in single.named_parameters():
        if not p.requires_grad:
            continue
        difference = (p.detach() - exact[n].detach()).abs().reshape(p.shape[0], -1).amax(1)
        if n.endswith("c_attn.base_layer.bias"):
            keys = slice(p.shape[0] // 3, 2 * p.shape[0] // 3)
            found.append({
                "name": file_name(n), "rows": [keys.start, keys.stop],
                "float64Difference": difference[keys].max().item(),
                "reason": "Softmax cancels the key bias; its gradient is rounding noise.",
            })
            difference[keys] = 0
        worst = max(worst, difference.max().item())
    assert worst < DETERMINED, f"float32 and float64 disagree by {worst}"
    return found, worst


def make(name: str):
    case, folder = CASES[name], OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    accumulation = case.get("accumulation", 1)
    batches = make_batches(name, accumulation)
    write_tensors(folder / "batches.safetensors", batches)
    if case["lora"]:
        initial_adapter(name, case, folder / "initial_adapter")

    model = adapted_model(case, folder / "initial_adapter", torch.float32)
    records, groups = train(model, case, batches)
    double = adapted_model(case, folder / "initial_adapter", torch.float64)
    exact, _ = train(double, case, batches)
    if case["lora"]:
        model.peft_config["default"].base_model_name_or_path = base_path(case["base"])
        save_adapter(model, folder / "final_adapter")
    else:
        model.save_pretrained(folder / "final_model")
        (folder / "final_model" / "generation_config.json").unlink(missing_ok=True)

    bad, worst = undetermined(model, double)
    loss_difference = max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(records, exact))
    write_json(folder / "expected.json", {
        "base": case["base"],
        "method": "lora" if case["lora"] else "full",
        "optimizer": {"name": "adamw", "learningRate": case["lr"], "betas": [0.9, 0.999], "eps": 1e-8,
                      "weightDecay": 0.01, "maxGradNorm": case.get("max_norm", 1.0)},
        "schedule": {"name": case["schedule"], "warmupSteps": case["warmup"], "totalSteps": STEPS},
        "gradientAccumulation": accumulation,
        "grouping": case.get("grouping", "one"),
        "groups": [{"weightDecay": g["weight_decay"], "parameters": [file_name(n) for n in g["names"]]} for g in groups],
        "float64": {"lossRelativeDifference": loss_difference, "tensorDifference": worst},
        "undetermined": bad,
        "steps": records,
        "versions": versions(),
    })
    clipped = sum(r["gradNorm"] > 1 for r in records)
    fifth = STEPS // 5
    first, last = (sum(r["loss"] for r in part) / fifth for part in (records[:fifth], records[-fifth:]))
    print(f"{name:34} loss {first:.2f} -> {last:.2f}, clipped {clipped}/{STEPS}, float64: loss {loss_difference:.1e}, "
          f"tensors {worst:.1e}, undetermined {len(bad)}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for case_name in sys.argv[1:] or CASES:
        make(case_name)
