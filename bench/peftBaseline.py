"""The other side of the benchmark: LoRA with PEFT + PyTorch as a user would run it, on the CPU in float32 or on a GPU in bfloat16.

    python bench/peftBaseline.py --config bench/models/llama-23m.json --batch 4 --length 256 --threads 2

The model is made here with random weights; every token is trained. A step is forward, backward, clipping
to norm 1, AdamW and zero_grad. Eager mode with PyTorch's fastest parts for it: scaled_dot_product_attention
without a mask, fused AdamW. torch.compile is not used: it needs a C++ compiler on the user's machine, which
"compiler" in the output reports. Prints one JSON line; tokensPerSecond comes from the median step.
With --matmul only the rate of the model's own forward matrix products is measured. With --checkpoint the weights come from a
Hugging Face folder; --load-4bit has bitsandbytes quantise them (NF4, double quantisation) as they are loaded.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import sys
import time


def arguments():
    p = argparse.ArgumentParser()
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=pathlib.Path, help="a Hugging Face config.json")
    source.add_argument("--checkpoint", type=pathlib.Path, help="a Hugging Face folder with weights")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the frozen weights and the compute")
    p.add_argument("--load-4bit", action="store_true")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--length", type=int, default=256)
    p.add_argument("--steps", type=int, default=10, help="measured steps")
    p.add_argument("--warmup", type=int, default=3, help="steps before them")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--alpha", type=float, default=16)
    p.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    p.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    p.add_argument("--matmul", action="store_true", help="measure the matrix products alone")
    return p.parse_args()


given = arguments()
# Read by OpenMP and MKL when PyTorch is imported.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(given.threads)
if given.device == "cpu":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import peft
import torch
import transformers


def memory(field: str) -> int:
    """Bytes: VmHWM is the process's own peak. (ru_maxrss may start at the parent's size on Linux.)"""
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024
    except FileNotFoundError:
        # Elsewhere only the peak is known: kilobytes, or bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (FileNotFoundError, StopIteration):
        return platform.processor()


def about() -> dict:
    return {
        "threads": torch.get_num_threads(),
        "cpu": processor(),
        "compiler": shutil.which("c++") is not None,
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__,
            "transformers": transformers.__version__, "peft": peft.__version__,
        },
    }


def make_model(attention: str):
    torch.manual_seed(0)
    dtype = getattr(torch, given.dtype)
    config = transformers.AutoConfig.from_pretrained(given.config or given.checkpoint)
    config.use_cache = False
    if not given.checkpoint:
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        return model.to(given.device)
    quantised = {}
    if given.load_4bit:
        quantised["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    return transformers.AutoModelForCausalLM.from_pretrained(
        given.checkpoint, config=config, dtype=dtype, attn_implementation=attention, device_map=given.device, **quantised)


def train() -> dict:
    imported = memory("VmRSS")
    model = make_model(given.attention)
    base_parameters = model.num_parameters()
    model = peft.get_peft_model(model, peft.LoraConfig(
        task_type="CAUSAL_LM", r=given.rank, lora_alpha=given.alpha, target_modules="all-linear"))
    # PEFT's default: adapters train in float32 over a 16-bit base, under autocast.
    autocast = torch.autocast(given.device, dtype=torch.bfloat16, enabled=given.dtype == "bfloat16")
    synchronise = torch.cuda.synchronize if given.device.startswith("cuda") else lambda: None
    if given.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=2e-4, weight_decay=0.0, fused=True)
    vocab = model.config.vocab_size
    loaded = memory("VmRSS")

    seconds, losses = [], []
    for _ in range(given.warmup + given.steps):
        ids = torch.randint(0, vocab, (given.batch, given.length))
        synchronise()
        start = time.perf_counter()
        ids = ids.to(given.device)
        # No attention mask: without padding this is the fast causal path.
        with autocast:
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        synchronise()
        seconds.append(time.perf_counter() - start)
    measured = seconds[given.warmup:]
    return {
        "tokensPerSecond": given.batch * given.length / statistics.median(measured),
        "stepSeconds": measured,
        "warmupSeconds": seconds[:given.warmup],
        "peakRssBytes": memory("VmHWM"),
        # What the Python process holds before the model exists: a CUDA build of PyTorch maps more than a CPU build.
        "importedRssBytes": imported,
        "loadedRssBytes": loaded,
        "peakDeviceBytes": torch.cuda.max_memory_reserved() if given.device.startswith("cuda") else None,
        "baseParameters": base_parameters,
        "trainableParameters": sum(p.numel() for p in trainable),
        "firstLoss": losses[0],
        "lastLoss": losses[-1],
    }


def measure_products() -> dict:
    """Forward products x·Wᵀ of every Linear, [tokens, in] by [out, in], float32; one rate over all of them."""
    model = make_model("sdpa")
    shapes: dict[tuple[int, int], int] = {}
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            key = (module.in_features, module.out_features)
            shapes[key] = shapes.get(key, 0) + 1
    del model
    tokens = given.batch * given.length
    rows, flops, total = [], 0.0, 0.0
    for (width_in, width_out), count in shapes.items():
        x, w = torch.randn(tokens, width_in), torch.randn(width_out, width_in)
        times = []
        with torch.inference_mode():
            for _ in range(given.warmup + given.steps):
                start = time.perf_counter()
                torch.nn.functional.linear(x, w)
                times.append(time.perf_counter() - start)
        second = statistics.median(times[given.warmup:])
        work = 2.0 * tokens * width_in * width_out
        rows.append({"tokens": tokens, "in": width_in, "out": width_out, "count": count, "gflops": work / second / 1e9})
        flops += count * work
        total += count * second
    return {"gflops": flops / total / 1e9, "products": rows}


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(given.threads)
    settings = {
        "config": (given.config or given.checkpoint).name, "batch": given.batch, "length": given.length,
        "attention": given.attention, "checkpointing": given.checkpointing,
    }
    print(json.dumps(settings | (measure_products() if given.matmul else train()) | about()))
