"""Makes test/goldens/methods/training: 50 steps of every method that PEFT has, on the tiny llama and GPT-2 checkpoints.

Each case has the form of test/goldens/training (see training.py): initial_adapter/, final_adapter/,
batches.safetensors and expected.json. Its length is one table of cases and the starts that they need. Where a method changes the base first (PiSSA, OLoRA, CorDA, LoftQ, MiLoRA),
base_tensors.safetensors holds the changed weights under their checkpoint names, and converted_adapter/ the same
adapter for the original base. Every case also runs in float64 from the same start.
"""

import copy
import functools
import inspect
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import AdaLoraConfig, LoraConfig, PeftModel, VeraConfig, get_peft_model
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer
from peft.tuners.lora.config import CordaConfig, EvaConfig
from peft.utils import loftq_utils
from safetensors.torch import load_file
from transformers import get_scheduler
from transformers.pytorch_utils import Conv1D

from golden import GOLDENS, base_path, generator, load_base, random_ids, logits_of, tidy_adapter, versions
from golden import write_json, write_tensors
from training import DETERMINED, STEPS, make_batches

OUT = GOLDENS / "methods" / "training"
LLAMA = dict(base="llama-plain", targets=["q_proj", "down_proj"])
GPT2 = dict(base="gpt2", targets=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)
torch.set_num_threads(1)


def case(on, method, kind=LoraConfig, lr=5e-3, optimizer="adamw", schedule="cosine", warmup=5, prepare=None,
         weight_decay=0.01, options=None, tensor_tolerance=DETERMINED, note="", group_size=None, rope_factor=None,
         **settings):
    """One case. `on` is LLAMA or GPT2; `settings` go to PEFT's config, `options` to the optimizer.

    `group_size` trains with LongLoRA's attention, as explicit masks; `rope_factor` stretches rotary positions.
    """
    config = dict(target_modules=on["targets"], task_type="CAUSAL_LM") | settings
    if "fan_in_fan_out" in on:
        config["fan_in_fan_out"] = True
    if kind is LoraConfig:
        config = dict(r=4, lora_alpha=8) | config
    return dict(base=on["base"], method=method, kind=kind, config=config, lr=lr, optimizer=optimizer,
                schedule=schedule, warmup=warmup, prepare=prepare, weight_decay=weight_decay, options=options or {},
                tensor_tolerance=tensor_tolerance, note=note, group_size=group_size, rope_factor=rope_factor)


def load_case_base(case, dtype=torch.float32):
    """The case's base model, with its positions stretched where the case says so."""
    base = load_base(base_path(case["base"]), dtype)
    if case["rope_factor"] is None:
        return base
    config = copy.deepcopy(base.config)
    config.rope_parameters = {**(config.rope_parameters or {}), "rope_type": "linear", "factor": case["rope_factor"]}
    config.max_position_embeddings *= int(case["rope_factor"])
    stretched = type(base)._from_config(config, attn_implementation="eager").to(dtype)
    stretched.load_state_dict(base.state_dict())
    return stretched


def block_masks(case, model, lengths, width):
    """LongLoRA's masks [rows, heads, S, S], added to scores: causal within blocks, which half of the heads shift."""
    at, size = torch.arange(width), case["group_size"]
    heads = model.config.num_attention_heads
    seen = []
    for head in range(heads):
        block = (at + (size // 2 if head >= heads // 2 else 0)) // size
        seen.append((block[:, None] == block[None, :]) & (at[None, :] <= at[:, None]))
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(heads, width, width, dtype=dtype).masked_fill(~torch.stack(seen), torch.finfo(dtype).min)
    return mask[None].expand(len(lengths), -1, -1, -1)


def file_name(name: str) -> str:
    """A parameter's name as PEFT writes it: DoRA's magnitude is a submodule's weight in memory alone."""
    name = name.replace(".modules_to_save.default.", ".")
    return name.replace(".default", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def save_adapter(model, folder):
    """Saves, and fails if a trainable tensor did not reach the file."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, save_embedding_layers=False)
    tidy_adapter(folder)
    missing = {file_name(n) for n, _ in trainable_of(model)} - set(load_file(folder / "adapter_model.safetensors"))
    assert not missing, f"PEFT did not store {sorted(missing)}"


# --- the start ---------------------------------------------------------------------------------------------------


def new_model(name, case):
    """A fresh adapter on the base; its random numbers depend on the case's name alone."""
    torch.manual_seed(generator(f"{name}/init").initial_seed())
    return get_peft_model(load_case_base(case), case["kind"](**copy.deepcopy(case["config"])))


def plain_start(name, case, folder):
    return new_model(name, case), {}


def random_b_start(name, case, folder):
    """B random, everything else as initialised: all factors have a gradient from the first step on."""
    model = new_model(name, case)
    gen = generator(f"{name}/random_b")
    for n, p in model.named_parameters():
        if "lora_B" in n:
            p.data = 0.05 * torch.randn(p.shape, generator=gen)
    return model, {}


def layers_of(model):
    """(checkpoint name, adapted layer) of each adapted module, in module order."""
    prefix = "base_model.model."
    return [(n.removeprefix(prefix), m) for n, m in model.named_modules() if hasattr(m, "base_layer")]


def base_weight(layer):
    """The base weight as [out, in], whatever its stored layout."""
    weight = layer.get_base_layer().weight.data
    return weight.T if isinstance(layer.get_base_layer(), Conv1D) else weight


def set_base_weight(layer, weight):
    base = layer.get_base_layer()
    base.weight.data = (weight.T if isinstance(base, Conv1D) else weight).contiguous()


def set_factors(layer, a, b):
    layer.lora_A["default"].weight.data = a.contiguous()
    layer.lora_B["default"].weight.data = b.contiguous()


def peft_initialiser(name, case, folder):
    """PEFT's own initialiser changed the base while the adapter was built."""
    return new_model(name, case), {}


def by_formula(initialise):
    """A start that PEFT lacks (or gets wrong on Conv1D): `initialise(W [out,in], r, s)` gives A0, B0 and the new W."""

    def start(name, case, folder):
        model = new_model(name, case)
        for _, layer in layers_of(model):
            a, b, weight = initialise(base_weight(layer), layer.r["default"], layer.scaling["default"])
            set_factors(layer, a, b)
            set_base_weight(layer, weight)
        return model, {}

    return start


def milora(w, r, s):
    """The bottom r of SVD(W): B0 = U√(σ/s), A0 = √(σ/s)Vᵀ, W_res = W − s·B0A0."""
    u, sigma, vh = torch.linalg.svd(w.double(), full_matrices=False)
    root = (sigma[-r:] / s).sqrt()
    a, b = (root[:, None] * vh[-r:]).float(), (u[:, -r:] * root).float()
    return a, b, w - s * (b @ a)


def olora(w, r, s):
    """Thin QR of W [out,in]: B0 = Q[:,:r], A0 = R[:r], W_res = W − s·B0A0."""
    q, upper = torch.linalg.qr(w)
    return upper[:r], q[:, :r], w - s * (q[:, :r] @ upper[:r])


def loftq_on_cpu():
    """PEFT's loftq_init sends the weight to "cuda"; the same source on the CPU."""
    source = inspect.getsource(loftq_utils.loftq_init)
    device = '"xpu" if is_xpu_available() else "cuda"'
    assert device in source
    scope = dict(vars(loftq_utils))
    exec(source.replace(device, '"cpu"'), scope)
    return scope["loftq_init"]


def loftq(w, r, s, iterations=1):
    """Q = NF4(W − BA), (B, A) = SVD_r(W − Q); the base becomes Q. s is not compensated."""
    quantised, a, b = loftq_on_cpu()(w.contiguous(), num_bits=4, reduced_rank=r, num_iter=iterations)
    return a, b, quantised


def calibration(name, rows, length):
    """Unpadded rows [rows, length] from the same source as the training batches."""
    batches = make_batches(f"{name}/calibration", 1)
    ids = batches["input_ids"][:, 0, 0]
    return ids[:rows, :length]


def corda_start(name, case, folder):
    """Runs PEFT's preprocess_corda on one row at a time and keeps each module's covariance."""
    from peft.tuners.lora.corda import preprocess_corda

    torch.manual_seed(generator(f"{name}/init").initial_seed())
    base = load_base(base_path(case["base"]))
    config = LoraConfig(**copy.deepcopy(case["config"]))
    ids = calibration(name, 12, 16)

    def run():
        with torch.no_grad():
            for row in ids:
                base(input_ids=row[None], use_cache=False)

    config.corda_config.prune_temporary_fields = False
    preprocess_corda(base, config, run_model=run)
    covariances = {f"{n}.covariance": m.covariance_matrix for n, m in base.named_modules()
                   if hasattr(m, "covariance_matrix")}
    config.corda_config.prune_temporary_fields = True
    write_tensors(folder / "calibration.safetensors", {"input_ids": ids} | covariances)
    model = get_peft_model(base, config)
    for module in model.modules():
        for extra in ("covariance_matrix", "eigens", "sample_count", "corda_method", "rank"):
            if hasattr(module, extra) and not hasattr(module, "base_layer"):
                delattr(module, extra)
    return model, {}


def eva_start(name, case, folder):
    """Runs PEFT's EVA on committed batches; also the exact PCA of the same inputs, which PEFT approximates."""
    from peft.tuners.lora.eva import initialize_lora_eva_weights

    model = new_model(name, case)
    source = make_batches(f"{name}/calibration", 1)
    ids, labels, lengths = (source[k][:8].reshape(2, 16, -1).squeeze(-1) for k in ("input_ids", "labels", "lengths"))
    mask = (torch.arange(ids.shape[-1]) < lengths[..., None]).long()
    batches = [{"input_ids": ids[i], "labels": labels[i], "attention_mask": mask[i]} for i in range(2)]
    inputs = {}
    hooks = [m.register_forward_pre_hook(functools.partial(
        lambda n, module, args: inputs.setdefault(n, []).append(args[0].detach()), n)) for n, m in layers_of(model)]
    with torch.no_grad(), model.disable_adapter():
        for b in batches:
            model(input_ids=b["input_ids"], attention_mask=b["attention_mask"], use_cache=False)
    for h in hooks:
        h.remove()
    initialize_lora_eva_weights(model, batches, show_progress_bar=False)

    counted = torch.cat([(b["labels"] != -100) & b["attention_mask"].bool() for b in batches])
    exact, ranks = {}, {}
    left = dict(layers_of(model))
    for n in inputs:
        x = torch.cat(inputs[n])[counted].double()
        _, sigma, vh = torch.linalg.svd(x - x.mean(0), full_matrices=False)
        ratio = sigma**2 / (sigma**2).sum()
        ranks[n] = left[n].r["default"] if n in left else 0
        exact[f"{n}.explained_variance_ratio"] = ratio[:8].float()
        exact[f"{n}.components"] = vh[:8].float()
        exact[f"{n}.mean"] = x.mean(0).float()
    most = max(round(case["config"]["r"] * case["config"]["eva_config"].rho), 1)
    order = sorted(((v.item(), n) for n in inputs for v in exact[f"{n}.explained_variance_ratio"][:most]), reverse=True)
    budget = case["config"]["r"] * len(inputs)
    exact_ranks = {n: sum(m == n for _, m in order[:budget]) for n in inputs}
    overlap = {}
    for n, layer in layers_of(model):
        r = layer.r["default"]
        a = layer.lora_A["default"].weight.data
        overlap[n] = (torch.linalg.norm(a @ exact[f"{n}.components"][:r].T) ** 2 / r).item()
    write_tensors(folder / "calibration.safetensors",
                  {"input_ids": ids, "labels": labels, "lengths": lengths} | exact)
    return model, {"eva": {
        "ranks": ranks, "ranksByExactPca": exact_ranks, "subspaceOverlapWithExactPca": overlap,
        "thresholdGap": order[budget - 1][0] - order[budget][0],
        "alphaPattern": dict(model.peft_config["default"].alpha_pattern)}}


# --- optimizers --------------------------------------------------------------------------------------------------


def trainable_of(model):
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad]


def adamw(model, case):
    return torch.optim.AdamW([p for _, p in trainable_of(model)], lr=case["lr"], betas=(0.9, 0.999), eps=1e-8,
                             weight_decay=case["weight_decay"])


def adamw_on_b(model, case):
    """The LoRA-FA of the paper: A frozen, AdamW on B."""
    for n, p in model.named_parameters():
        if "lora_A" in n:
            p.requires_grad_(False)
    return adamw(model, case)


def loraplus(model, case):
    return create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=case["lr"], eps=1e-8, betas=(0.9, 0.999),
        loraplus_weight_decay=case["weight_decay"], **case["options"])


def lorafa(model, case, bf16=False):
    """PEFT's LoRA-FA optimizer. It multiplies in bfloat16 wherever that exists, which `bf16` False turns off."""
    import peft.optimizers.lorafa as module

    module.is_bf16_available = lambda *a, **k: bf16
    config = case["config"]
    return create_lorafa_optimizer(model, r=config["r"], lora_alpha=config["lora_alpha"], lr=case["lr"],
                                   weight_decay=case["weight_decay"])


OPTIMIZERS = dict(adamw=adamw, loraplus=loraplus, lorafa=lorafa, adamw_on_b=adamw_on_b,
                  lorafa_bf16=functools.partial(lorafa, bf16=True))


# --- training ----------------------------------------------------------------------------------------------------


def orthogonality(model):
    """AdaLoRA's penalty before its weight: the mean of ‖AAᵀ−I‖_F and ‖BᵀB−I‖_F over all factors."""
    terms = []
    for n, p in model.named_parameters():
        if "lora_A" in n or "lora_B" in n:
            square = p @ p.T if "lora_A" in n else p.T @ p
            terms.append(torch.linalg.norm(square - torch.eye(square.shape[0], dtype=p.dtype)))
    return sum(terms) / len(terms)


def train(model, case, batches, optimizer_name=None):
    """Returns the per-step records and the optimizer; the model is left trained."""
    model.train()
    adalora = case["method"] == "adalora"
    optimizer = OPTIMIZERS[optimizer_name or case["optimizer"]](model, case)
    scheduler = get_scheduler(case["schedule"], optimizer, case["warmup"], STEPS)
    trainable = [p for _, p in trainable_of(model)]
    first_group = next(i for i, g in enumerate(optimizer.param_groups) if g["params"])
    records = []
    for step in range(STEPS):
        ids, labels, lengths = (batches[k][step].flatten(0, 1) for k in ("input_ids", "labels", "lengths"))
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        if case["group_size"] is not None:
            mask = block_masks(case, model, lengths, ids.shape[1])
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        task = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        loss = task
        if adalora:
            # With labels PEFT adds its penalty to the loss that it returns (always in float32).
            theirs = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
            loss = task + case["config"]["orth_reg_weight"] * orthogonality(model)
            assert abs((theirs - loss).item()) < 1e-5
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        lrs = scheduler.get_last_lr()
        record = {"loss": loss.item(), "gradNorm": norm.item(), "learningRate": lrs[first_group],
                  "trainedTokens": (labels[:, 1:] != -100).sum().item()}
        optimizer.step()
        scheduler.step()
        if adalora:
            record |= {"taskLoss": task.item()} | allocate(model, step)
        optimizer.zero_grad()
        records.append(record)
    return records, optimizer


def allocate(model, step):
    """AdaLoRA's update after optimizer.step() and before zero_grad(), with the 0-based step."""
    config = model.peft_config["default"]
    final = config.total_step - config.tfinal
    allocator = model.base_model.rankallocator
    budget, masked = allocator.budget_schedule(step)
    model.base_model.update_and_allocate(step)
    ranks = [int((layer.lora_E["default"] != 0).sum()) for _, layer in layers_of(model)]
    return {"budget": allocator.target_bgt if step >= final else budget, "masked": bool(masked or step >= final),
            "nonZeroTriplets": sum(ranks)}


def adapted_model(case, folder, dtype):
    """The base, changed where the case changed it, with the adapter from its file: the files are the whole truth."""
    base = load_case_base(case, dtype)
    changed = folder / "base_tensors.safetensors"
    if changed.exists():
        parameters = dict(base.named_parameters())
        for n, t in load_file(changed).items():
            parameters[n].data = t.to(dtype)
    model = PeftModel.from_pretrained(base, folder / "initial_adapter", is_trainable=True)
    for n, p in model.named_parameters():
        p.data = p.data.to(dtype)
        if ".ranknum." in n:
            p.requires_grad_(False)  # PEFT makes AdaLoRA's constant trainable when it casts it to the base's type.
    for b in model.buffers():
        if b.is_floating_point():
            b.data = b.data.to(dtype)
    return model


def converted(case, folder, model):
    """final_adapter for the original base, by PEFT's conversion. Returns how far the two forms' logits differ."""
    ids, mask = random_ids(f"{folder.name}/converted", [16, 11])
    expected = logits_of(model, ids, mask)
    config = model.peft_config["default"]
    with tempfile.TemporaryDirectory() as temporary:
        # PEFT rewrites the config in this folder, and names the adapter that it loads from it by the folder's name.
        start = Path(temporary) / "start"
        shutil.copytree(folder / "initial_adapter", start)
        config.init_lora_weights = "pissa"
        model.save_pretrained(folder / "converted_adapter", path_initial_model_for_weight_conversion=str(start))
        config.init_lora_weights = True
    tidy_adapter(folder / "converted_adapter")
    loaded = PeftModel.from_pretrained(load_base(base_path(case["base"])), folder / "converted_adapter")
    return (logits_of(loaded, ids, mask) - expected).abs().max().item()


def start_case(name, case, folder):
    """Writes initial_adapter and, where the base changed, base_tensors.safetensors. Returns extra notes."""
    original = dict(load_base(base_path(case["base"])).named_parameters())
    model, notes = (case["prepare"] or plain_start)(name, case, folder)
    changed = {}
    for n, layer in layers_of(model):
        weight = layer.get_base_layer().weight.data if hasattr(layer, "get_base_layer") else None
        if weight is not None and not torch.equal(weight, original[f"{n}.weight"].data):
            changed[f"{n}.weight"] = weight
    config = model.peft_config["default"]
    if changed:
        write_tensors(folder / "base_tensors.safetensors", changed)
        config.init_lora_weights = True  # The changed base goes with the adapter.
        config.corda_config, config.loftq_config = None, {}
    config.base_model_name_or_path = base_path(case["base"])
    save_adapter(model, folder / "initial_adapter")
    if case["rope_factor"] is not None:
        config = load_case_base(case).config
        write_json(folder / "initial_adapter" / "base_config.json", {
            "rope_parameters": config.rope_parameters, "max_position_embeddings": config.max_position_embeddings})
    return notes


def groups_of(model, optimizer):
    names = {id(p): file_name(n) for n, p in model.named_parameters()}
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    # LoRA-FA's single group also lists the frozen parameters, which it skips.
    return [
        {"weightDecay": g["weight_decay"], "learningRate": g.get("initial_lr", g["lr"]),
         "parameters": [names[id(p)] for p in g["params"] if id(p) in trained]}
        for g in optimizer.param_groups if any(id(p) in trained for p in g["params"])
    ]


def make(name: str):
    case, folder = CASES[name], OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    # One set of batches for each base; two rows of the training cases' four.
    batches = {k: v[:, :, :2].contiguous() for k, v in make_batches(f"methods/{case['base']}", 1).items()}
    write_tensors(folder / "batches.safetensors", batches)
    notes = start_case(name, case, folder)

    model = adapted_model(case, folder, torch.float32)
    records, optimizer = train(model, case, batches)
    groups = groups_of(model, optimizer)
    double = adapted_model(case, folder, torch.float64)
    exact, _ = train(double, case, batches)
    doubles = dict(double.named_parameters())
    worst = max((p.detach() - doubles[n].detach()).abs().max().item() for n, p in trainable_of(model))
    loss_difference = max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(records, exact))
    assert loss_difference < 2e-5, f"{name}: float32 and float64 losses disagree by {loss_difference}"
    assert worst < case["tensor_tolerance"], f"{name}: float32 and float64 tensors disagree by {worst}"

    if case["optimizer"] == "lorafa":
        bf16, _ = train(adapted_model(case, folder, torch.float32), case, batches, "lorafa_bf16")
        notes["bf16Losses"] = [r["loss"] for r in bf16]
    config = model.peft_config["default"]
    if case["method"] == "adalora":
        notes["adalora"] = {
            "masks": {n.replace(".default", ""): m for n, m in config.rank_pattern.items()},
            "ranks": {n: int((layer.lora_E["default"] != 0).sum()) for n, layer in layers_of(model)},
        }
    config.base_model_name_or_path = base_path(case["base"])
    if case["optimizer"] in ("lorafa", "adamw_on_b"):
        start = load_file(folder / "initial_adapter" / "adapter_model.safetensors")
        for n, p in model.named_parameters():
            assert "lora_A" not in n or torch.equal(p.data, start[file_name(n)])
    live = None
    if case["method"] == "adalora":
        live = logits_of(model, *random_ids(f"{name}/live", [16, 11]))
    save_adapter(model, folder / "final_adapter")
    if (folder / "base_tensors.safetensors").exists() and case["method"] != "loftq":
        notes["convertedLogitsDifference"] = converted(case, folder, model)
    if case["method"] == "loftq":
        notes["loftq"] = loftq_errors(case, folder)
    if case["method"] in ("pissa", "milora", "olora", "corda"):
        notes["initial"] = initial_errors(case, folder)
    if live is not None:
        loaded = PeftModel.from_pretrained(load_base(base_path(case["base"])), folder / "final_adapter")
        notes["adalora"]["savedLogitsDifference"] = (
            logits_of(loaded, *random_ids(f"{name}/live", [16, 11])) - live).abs().max().item()

    write_json(folder / "expected.json", {
        "base": case["base"],
        "method": case["method"],
        "note": case["note"],
        "optimizer": {
            "name": {"adamw_on_b": "adamw", "loraplus": "adamw"}.get(case["optimizer"], case["optimizer"]),
            "learningRate": case["lr"], "betas": [0.9, 0.999], "eps": 1e-6 if case["optimizer"] == "lorafa" else 1e-8,
            "weightDecay": case["weight_decay"], "maxGradNorm": 1.0, **case["options"]},
        "schedule": {"name": case["schedule"], "warmupSteps": case["warmup"], "totalSteps": STEPS},
        "gradientAccumulation": 1,
        **({} if case["group_size"] is None else {"attention": {"groupSize": case["group_size"]}}),
        "groups": groups,
        "float64": {"lossRelativeDifference": loss_difference, "tensorDifference": worst},
        **notes,
        "steps": records,
        "versions": versions(),
    })
    fifth = STEPS // 5
    first, last = (sum(r["loss"] for r in part) / fifth for part in (records[:fifth], records[-fifth:]))
    clipped = sum(r["gradNorm"] > 1 for r in records)
    print(f"{name:30} loss {first:.3f} -> {last:.3f}, clipped {clipped}/{STEPS}, float64: loss {loss_difference:.1e}, "
          f"tensors {worst:.1e}", {k: v for k, v in notes.items() if k not in ("bf16Losses", "adalora", "eva")}, flush=True)


def factors(folder):
    """(module, A, B, base weight as stored) of the untrained adapter."""
    tensors = load_file(folder / "initial_adapter" / "adapter_model.safetensors")
    for n, weight in load_file(folder / "base_tensors.safetensors").items():
        path = f"base_model.model.{n.removesuffix('.weight')}"
        yield n.removesuffix(".weight"), tensors[f"{path}.lora_A.weight"], tensors[f"{path}.lora_B.weight"], weight


def initial_errors(case, folder):
    """How well W_res + s·B0A0 = W holds, and how far the product is from the exact selection's (PiSSA only)."""
    base = dict(load_base(base_path(case["base"])).named_parameters())
    turned = "fan_in_fan_out" in case["config"]
    s = case["config"]["lora_alpha"] / case["config"]["r"]
    out = {"largestResidualError": 0.0}
    for n, a, b, weight in factors(folder):
        w = base[f"{n}.weight"].data
        delta = s * (b @ a)
        error = (weight + (delta.T if turned else delta) - w).abs().max().item()
        out["largestResidualError"] = max(out["largestResidualError"], error)
        if case["method"] == "pissa":
            w = w.T if turned else w
            u, sigma, vh = torch.linalg.svd(w.double(), full_matrices=False)
            r = a.shape[0]
            best = (u[:, :r] * sigma[:r]) @ vh[:r]
            distance = (torch.linalg.norm(delta - best) / torch.linalg.norm(best)).item()
            out["largestDistanceToExact"] = max(out.get("largestDistanceToExact", 0.0), distance)
            tail = torch.linalg.norm(w - delta.double()).item() / torch.linalg.norm(sigma[r:]).item() - 1
            out["largestExcessResidual"] = max(out.get("largestExcessResidual", 0.0), tail)
    return out


def loftq_errors(case, folder):
    """Frobenius norms, relative to W's: of W − Q, and of W − Q − BA. By module."""
    base = dict(load_base(base_path(case["base"])).named_parameters())
    out = {}
    for n, a, b, weight in factors(folder):
        w, q = base[f"{n}.weight"].data, weight
        if "fan_in_fan_out" in case["config"]:
            w, q = w.T, q.T
        size = torch.linalg.norm(w)
        out[n] = {"quantised": (torch.linalg.norm(w - q) / size).item(),
                  "corrected": (torch.linalg.norm(w - q - b @ a) / size).item()}
    return out


RESIDUAL = dict(lora_alpha=4)  # s = 1, as these methods recommend.
CASES = {
    "llama-dora": case(LLAMA, "dora", use_dora=True),
    "llama-dora-patterns": case(
        LLAMA, "dora", use_dora=True, rank_pattern={"down_proj": 2, "layers.1.self_attn.q_proj": 6},
        alpha_pattern={"down_proj": 3}),
    "llama-dora-init-false": case(
        LLAMA, "dora", use_dora=True, init_lora_weights=False, use_rslora=True,
        note="B starts random, so the magnitude starts at the row norms of W + s·BA; scaling by rsLoRA."),
    "gpt2-dora": case(GPT2, "dora", use_dora=True),
    "gpt2-dora-random-b": case(
        GPT2, "dora", use_dora=True, prepare=random_b_start,
        note="B was set after initialisation, so the magnitude differs from the norms at the start."),
    "llama-vera": case(LLAMA, "vera", VeraConfig, lr=3e-2, r=8, d_initial=0.1, projection_prng_key=7),
    "llama-vera-regenerated": case(
        LLAMA, "vera", VeraConfig, lr=3e-2, r=8, d_initial=0.1, projection_prng_key=7, save_projection=False,
        note="The same run as llama-vera, whose files hold the projections that this one's lack."),
    "gpt2-vera": case(GPT2, "vera", VeraConfig, lr=3e-2, r=8, d_initial=0.2, projection_prng_key=0),
    "gpt2-vera-regenerated": case(
        GPT2, "vera", VeraConfig, lr=3e-2, r=8, d_initial=0.2, projection_prng_key=0, save_projection=False,
        note="The same run as gpt2-vera, whose files hold the projections that this one's lack."),
    "llama-lora-fa": case(
        LLAMA, "lora-fa", lr=5e-3, optimizer="adamw_on_b", note="The paper's form: A frozen, AdamW on B."),
    "gpt2-lora-fa": case(GPT2, "lora-fa", lr=5e-3, optimizer="adamw_on_b"),
    "llama-lora-fa-peft": case(
        LLAMA, "lora-fa", lr=5e-3, optimizer="lorafa", rank_pattern={"down_proj": 3},
        note="PEFT's optimizer, its product in float32; bf16Losses are those of its product in bfloat16."),
    "gpt2-lora-fa-peft": case(
        GPT2, "lora-fa", lr=5e-3, optimizer="lorafa",
        note="PEFT's optimizer, its product in float32; bf16Losses are those of its product in bfloat16."),
    "llama-lora-plus": case(
        LLAMA, "lora-plus", lr=1e-3, optimizer="loraplus", options=dict(loraplus_lr_ratio=8.0),
        schedule="linear"),
    "llama-lora-plus-embedding": case(
        LLAMA | dict(targets=["q_proj", "embed_tokens"]), "lora-plus", lr=1e-3, optimizer="loraplus", use_dora=True,
        options=dict(loraplus_lr_ratio=8.0, loraplus_lr_embedding=2e-3), lora_alpha=4,
        note="Embedding factors have their own rate; every magnitude, the embedding's too, is 1-D: the rate of B."),
    "gpt2-lora-plus": case(
        GPT2 | dict(targets=["mlp.c_fc", "mlp.c_proj"]), "lora-plus", lr=1e-3, optimizer="loraplus", bias="lora_only", weight_decay=0.05,
        options=dict(loraplus_lr_ratio=8.0), note="Biases are 1-D: the rate of B, without decay."),
    "llama-adalora": case(
        LLAMA, "adalora", AdaLoraConfig, lr=1e-2, init_r=6, target_r=2, lora_alpha=12, total_step=STEPS, tinit=6,
        tfinal=10, deltaT=3, beta1=0.85, beta2=0.85, orth_reg_weight=0.1),
    "gpt2-adalora": case(
        GPT2, "adalora", AdaLoraConfig, lr=1e-2, init_r=5, target_r=2, lora_alpha=16, total_step=STEPS, tinit=4,
        tfinal=12, deltaT=1, beta1=0.85, beta2=0.9, orth_reg_weight=0.5),
    "llama-pissa": case(LLAMA, "pissa", lr=2e-3, prepare=peft_initialiser, init_lora_weights="pissa", **RESIDUAL),
    "llama-pissa-scaled": case(
        LLAMA, "pissa", lr=2e-3, prepare=peft_initialiser, init_lora_weights="pissa", lora_alpha=12, use_rslora=False,
        note="s = 3: the factors are divided by its root."),
    "llama-pissa-niter-4": case(
        LLAMA, "pissa", lr=2e-3, prepare=peft_initialiser, init_lora_weights="pissa_niter_4", **RESIDUAL),
    "gpt2-pissa": case(GPT2, "pissa", lr=2e-3, prepare=peft_initialiser, init_lora_weights="pissa", **RESIDUAL),
    "gpt2-pissa-niter-4": case(
        GPT2, "pissa", lr=2e-3, prepare=peft_initialiser, init_lora_weights="pissa_niter_4", **RESIDUAL),
    "llama-olora": case(LLAMA, "olora", lr=2e-3, prepare=peft_initialiser, init_lora_weights="olora"),
    "gpt2-olora": case(
        GPT2, "olora", lr=2e-3, prepare=by_formula(olora),
        note="PEFT ignores Conv1D's layout and crashes; these factors are those of W [out, in]."),
    "llama-milora": case(
        LLAMA, "milora", lr=2e-3, prepare=by_formula(milora), note="Not in PEFT: factors by the formula.", **RESIDUAL),
    "gpt2-milora": case(
        GPT2, "milora", lr=2e-3, prepare=by_formula(milora), note="Not in PEFT: factors by the formula.", **RESIDUAL),
    "llama-corda-ipm": case(
        LLAMA, "corda", lr=2e-3, prepare=corda_start, init_lora_weights="corda", corda_config=CordaConfig(corda_method="ipm"),
        **RESIDUAL),
    "llama-corda-kpm": case(
        LLAMA, "corda", lr=2e-3, prepare=corda_start, init_lora_weights="corda", corda_config=CordaConfig(corda_method="kpm"),
        **RESIDUAL),
    "gpt2-corda-ipm": case(
        GPT2 | dict(targets=["c_attn"]), "corda", lr=2e-3, prepare=corda_start, init_lora_weights="corda",
        corda_config=CordaConfig(corda_method="ipm"), **RESIDUAL),
    "gpt2-corda-kpm": case(
        GPT2 | dict(targets=["c_attn"]), "corda", lr=2e-3, prepare=corda_start, init_lora_weights="corda",
        corda_config=CordaConfig(corda_method="kpm"), **RESIDUAL),
    "llama-eva": case(
        LLAMA, "eva", lr=5e-3, prepare=eva_start, init_lora_weights="eva",
        eva_config=EvaConfig(rho=2.0, tau=0.99)),
    "gpt2-eva": case(
        GPT2, "eva", lr=5e-3, prepare=eva_start, init_lora_weights="eva", r=3, lora_alpha=6, eva_config=EvaConfig(rho=2.0, tau=0.99)),
    "llama-loftq": case(
        LLAMA, "loftq", lr=2e-3, prepare=by_formula(loftq), note="NF4, one iteration; s = 1.", **RESIDUAL),
    "gpt2-loftq": case(
        GPT2, "loftq", lr=2e-3, prepare=by_formula(loftq),
        note="NF4, one iteration; PEFT ignores Conv1D's layout, these are the factors and blocks of W [out, in].",
        **RESIDUAL),
    "llama-longlora": case(
        LLAMA | dict(base="llama-gqa-tied", targets=["q_proj", "k_proj", "v_proj", "o_proj"]), "longlora", lr=2e-3,
        schedule="constant_with_warmup", group_size=6, rope_factor=2.0, weight_decay=0.0,
        modules_to_save=["embed_tokens", "input_layernorm", "post_attention_layernorm", "norm"],
        note="Explicit block masks, whose last blocks are not full, and positions divided by 2."),
    "gpt2-longlora": case(
        GPT2 | dict(targets=["c_attn", "attn.c_proj"]), "longlora", lr=2e-3, schedule="constant_with_warmup",
        group_size=4, weight_decay=0.0, modules_to_save=["wte", "ln_1", "ln_2", "ln_f"],
        note="Explicit block masks."),
    "gpt2-lora-plus-embedding": case(
        GPT2 | dict(targets=["c_attn", "wte"]), "lora-plus", lr=1e-3, optimizer="loraplus",
        options=dict(loraplus_lr_ratio=4.0, loraplus_lr_embedding=2e-3), lora_alpha=4,
        note="Embedding factors have their own rate."),
    "llama-bias-lora-only": case(
        LLAMA | dict(base="llama-biases"), "lora", bias="lora_only", note="Biases of the adapted modules train."),
    "gpt2-patterns-modules-to-save": case(
        GPT2 | dict(targets=["c_attn", "mlp.c_proj", "wte"]), "lora", rank_pattern={"mlp.c_proj": 2, "h.1.attn.c_attn": 6},
        alpha_pattern={"c_attn": 3, "wte": 5.5}, modules_to_save=["ln_f"]),
    "llama-layers-exclude": case(
        LLAMA | dict(targets=["q_proj", "v_proj", "down_proj"]), "lora", layers_to_transform=[0, 2], layers_pattern="layers",
        exclude_modules=["model.layers.2.mlp.down_proj"]),
    "gpt2-layers-exclude": case(
        GPT2 | dict(targets=["c_attn", "c_proj"]), "lora", layers_to_transform=[1], layers_pattern="h",
        exclude_modules=["mlp.c_proj"]),
    "llama-rslora": case(LLAMA, "lora", use_rslora=True, rank_pattern={"down_proj": 2}),
    "gpt2-rslora": case(GPT2, "lora", use_rslora=True),
    "llama-lora-bias": case(LLAMA, "lora", lora_bias=True),
    "gpt2-lora-bias": case(
        GPT2 | dict(targets=["mlp.c_fc", "mlp.c_proj"]), "lora", lora_bias=True, lora_alpha=6),
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for case_name in sys.argv[1:] or CASES:
        make(case_name)
