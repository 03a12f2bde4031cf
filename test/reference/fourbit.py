"""Makes test/goldens/fourbit: bytes of bitsandbytes' four bits, a llama and a GPT-2 checkpoint in four bits as transformers
writes them, and 50 training steps of PEFT's LoRA on each.

The training steps have the form of test/goldens/training (see training.py). All of it runs on bitsandbytes' CPU functions.
"""

import shutil
import sys
import tempfile

import torch
import torch.nn.functional as F
from bitsandbytes import functional as bnb
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, get_scheduler

from golden import GOLDENS, base_path, generator, logits_of, random_ids, tidy_adapter, versions
from golden import write_json, write_tensors
from training import STEPS, make_batches

OUT = GOLDENS / "fourbit"
torch.set_num_threads(1)

CASES = {
    # name: base, targets, quant type, double quantisation
    "llama-nf4-double": ("llama-plain", ["q_proj", "down_proj"], "nf4", True),
    "gpt2-fp4": ("gpt2", ["c_attn", "mlp.c_proj"], "fp4", False),
}


def codes():
    """Tensors by `<case>.<what>`: values near and on midpoints, short last blocks, odd counts, zero blocks."""
    gen = generator("fourbit/codes")
    tensors = {}
    shapes = {"whole": 64 * 40, "short": 64 * 5 + 30, "odd": 201, "large": 64 * 700}
    for name, count in shapes.items():
        values = torch.randn(count, generator=gen) * torch.rand(count, generator=gen).add(0.05)
        values[64:128] = 0 if name == "whole" else values[64:128]
        tensors[f"{name}.values"] = values
        for kind in ("nf4", "fp4"):
            for block in (32, 64, 4096):
                packed, state = bnb.quantize_4bit(values, blocksize=block, quant_type=kind)
                key = f"{name}.{kind}.{block}"
                tensors[f"{key}.packed"] = packed.flatten()
                tensors[f"{key}.absmax"] = state.absmax
                tensors[f"{key}.back"] = bnb.dequantize_4bit(packed, state).flatten()
    # Double quantisation by bitsandbytes' generic path (nearest codes); its CPU kernel looks values up on a grid.
    absmax = tensors["large.nf4.64.absmax"]
    offset = absmax.mean()
    dynamic = bnb.create_dynamic_map().float()
    nested, outer = torch.ops.bitsandbytes.quantize_blockwise.default((absmax - offset).double(), dynamic, 256)
    tensors |= {"nested.codes": nested, "nested.absmax": outer, "nested.offset": offset.reshape(1)}
    tensors["nested.back"] = bnb.dequantize_blockwise(nested, absmax=outer, code=dynamic, blocksize=256) + offset
    tensors |= {"code.nf4": bnb.get_4bit_type("nf4", "cpu"), "code.fp4": bnb.get_4bit_type("fp4", "cpu")}
    tensors["code.dynamic"] = dynamic
    write_tensors(OUT / "codes.safetensors", tensors)


def case(name, base, targets, quant_type, double):
    folder = OUT / "training" / name
    shutil.rmtree(folder, ignore_errors=True)
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quant_type, bnb_4bit_use_double_quant=double)
    model = AutoModelForCausalLM.from_pretrained(
        base_path(base), quantization_config=config, dtype=torch.float32, attn_implementation="eager", device_map="cpu")
    model.save_pretrained(folder / "base")
    (folder / "base" / "generation_config.json").unlink(missing_ok=True)
    ids, mask = random_ids(f"fourbit/{name}", [9, 6])
    logits = {"input_ids": ids, "lengths": mask.sum(1), "logits": logits_of(model, ids, mask)}
    write_tensors(folder / "logits.safetensors", logits)

    lr, weight_decay, clip = 5e-3, 0.01, 0.3
    torch.manual_seed(0)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM",
                                             fan_in_fan_out=False))
    model.save_pretrained(folder / "initial_adapter")
    tidy_adapter(folder / "initial_adapter")
    model.train()
    batches = make_batches(f"fourbit/{name}", 1)
    write_tensors(folder / "batches.safetensors", batches)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    scheduler = get_scheduler("constant", optimizer)
    steps = []
    for step in range(STEPS):
        ids, labels, lengths = (batches[k][step].flatten(0, 1) for k in ("input_ids", "labels", "lengths"))
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trainable, clip)
        rate = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        steps.append({"loss": loss.item(), "gradNorm": norm.item(), "learningRate": rate,
                      "trainedTokens": int((labels[:, 1:] != -100).sum())})
    model.save_pretrained(folder / "final_adapter")
    tidy_adapter(folder / "final_adapter")
    import bitsandbytes

    write_json(folder / "expected.json", {
        "base": f"../fourbit/training/{name}/base", "method": "lora", "quantType": quant_type, "doubleQuant": double,
        "versions": versions() | {"bitsandbytes": bitsandbytes.__version__},
        "optimizer": {"learningRate": lr, "betas": [0.9, 0.999], "eps": 1e-8, "weightDecay": weight_decay,
                      "maxGradNorm": clip},
        "schedule": {"name": "constant", "warmupSteps": 0, "totalSteps": STEPS},
        "gradientAccumulation": 1, "grouping": "one", "steps": steps})
    print(name, steps[0]["loss"], steps[-1]["loss"])


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if not wanted or "codes" in wanted:
        codes()
    for name, options in CASES.items():
        if not wanted or name in wanted:
            case(name, *options)
