"""Optimizers on given gradients: PyTorch's own SGD and AdamW, and bitsandbytes' blockwise 8-bit AdamW written out in NumPy
(its own kernel for it runs on GPUs alone). One matrix above and one vector below 4096 elements."""
import json, os
import bitsandbytes.functional as bnb
import numpy as np
import torch
from safetensors.numpy import save_file

OUT = os.path.join(os.path.dirname(__file__), "..", "goldens", "methods", "formulas", "optimizers")
RATE, DECAY, BETAS, EPS, STEPS, BLOCK = 0.01, 0.1, (0.9, 0.999), 1e-8, 8, 256
random = np.random.default_rng(7)
start = {"matrix": random.standard_normal((67, 70)).astype(np.float32), "vector": random.standard_normal(50).astype(np.float32)}
gradients = {name: random.standard_normal((STEPS, *value.shape)).astype(np.float32) for name, value in start.items()}


def by_torch(make):
    parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    optimizer = make(list(parameters.values()))
    for t in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[name][t])
        optimizer.step()
    return {name: parameter.detach().numpy() for name, parameter in parameters.items()}


def eight_bit(value, grads, coded):
    tables = [bnb.create_dynamic_map(signed=signed).numpy() for signed in (True, False)]
    p, moments, codes = value.astype(np.float64), [np.zeros(value.size), np.zeros(value.size)], [None, None]
    for t, g in enumerate(grads.reshape(STEPS, -1).astype(np.float64), 1):
        moments = [beta * m + (1 - beta) * x for m, beta, x in zip(moments, BETAS, (g, g * g))]
        hat = [m / (1 - beta**t) for m, beta in zip(moments, BETAS)]
        p = p - RATE * (hat[0] / (np.sqrt(hat[1]) + EPS)).reshape(p.shape)
        p = p * (1 - RATE * DECAY)
        if not coded:
            continue
        for i, table in enumerate(tables):
            blocks = np.pad(moments[i], (0, -value.size % BLOCK)).reshape(-1, BLOCK)
            top = np.abs(blocks).max(1, keepdims=True)
            code = np.abs((blocks / np.maximum(top, 1e-38))[..., None] - table).argmin(-1)
            moments[i], codes[i] = (table[code] * top).reshape(-1)[: value.size], (code, top)
    return p.astype(np.float32), codes


results = {f"start.{name}": value for name, value in start.items()} | {f"gradients.{name}": g for name, g in gradients.items()}
cases = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=RATE, betas=BETAS, eps=EPS, weight_decay=DECAY),
    "sgd": lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=DECAY),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=DECAY, momentum=0.9),
    "sgd-nesterov": lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=DECAY, momentum=0.9, nesterov=True),
}
for case, make in cases.items():
    results |= {f"{case}.{name}": value for name, value in by_torch(make).items()}
for name, value in start.items():
    results[f"adamw_8bit.{name}"], codes = eight_bit(value, gradients[name], value.size >= 4096)
    if codes[0] is not None:
        for moment, (code, top) in zip("mv", codes):
            results[f"adamw_8bit.{moment}_codes"] = code.astype(np.uint8).reshape(-1)
            results[f"adamw_8bit.{moment}_absmax"] = top.astype(np.float32).reshape(-1)
os.makedirs(OUT, exist_ok=True)
save_file(results, os.path.join(OUT, "tensors.safetensors"))
facts = {"learningRate": RATE, "weightDecay": DECAY, "betas": BETAS, "eps": EPS, "steps": STEPS}
json.dump(facts, open(os.path.join(OUT, "facts.json"), "w"), indent=1)
