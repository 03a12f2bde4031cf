"""Makes test/goldens/precision: 50 steps of PEFT + PyTorch in bf16, as the HF Trainer's bf16 computes (CPU, no dropout).

The base lies in bfloat16, the adapter in float32, products run under autocast, the loss in float32. Files as in
test/goldens/training, without the final adapter: rounding moves single weights, and no test compares them.
"""

import shutil
import sys
import warnings

import torch

from golden import GOLDENS, versions, write_json, write_tensors
from training import LINEARS, STEPS, adapted_model, file_name, initial_adapter, make_batches, train

OUT = GOLDENS / "precision"
CASES = {
    "llama-lora-bf16": dict(
        base="llama-bf16-sharded", lora=dict(r=8, lora_alpha=16, target_modules=LINEARS),
        lr=5e-3, schedule="cosine", warmup=5),
    "gpt2-lora-bf16": dict(
        base="gpt2", lora=dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True),
        lr=3e-3, schedule="constant", warmup=0),
}


def make(name: str):
    case, folder = CASES[name], OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    batches = make_batches(name, 1)
    write_tensors(folder / "batches.safetensors", batches)
    initial_adapter(name, case, folder / "initial_adapter")
    model = adapted_model(case, folder / "initial_adapter", torch.bfloat16)
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    records, groups = train(model, case, batches, torch.bfloat16)
    exact, _ = train(adapted_model(case, folder / "initial_adapter", torch.float32), case, batches)
    write_json(folder / "expected.json", {
        "base": case["base"],
        "method": "lora",
        "dtype": "bfloat16",
        "optimizer": {"name": "adamw", "learningRate": case["lr"], "betas": [0.9, 0.999], "eps": 1e-8,
                      "weightDecay": 0.01, "maxGradNorm": 1.0},
        "schedule": {"name": case["schedule"], "warmupSteps": case["warmup"], "totalSteps": STEPS},
        "gradientAccumulation": 1,
        "grouping": "one",
        "groups": [{"weightDecay": g["weight_decay"], "parameters": [file_name(n) for n in g["names"]]} for g in groups],
        "float32Difference": max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(records, exact)),
        "steps": records,
        "versions": versions(),
    })
    print(f"{name:20} loss {records[0]['loss']:.3f} -> {records[-1]['loss']:.3f}; "
          f"float32 differs by {max(abs(a['loss'] / b['loss'] - 1) for a, b in zip(records, exact)):.1e}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for case_name in sys.argv[1:] or CASES:
        make(case_name)
