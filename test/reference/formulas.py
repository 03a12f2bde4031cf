"""Makes test/goldens/methods/formulas: small matrices through each method's formula, for what PEFT lacks or hides.

The formulas are written out here in NumPy or PyTorch, not taken from the engine. Where another library has the
numbers (bitsandbytes, PEFT), they come from it, and the formula is checked against them. Shapes are small and do
not divide each other. Float32 unless a tensor's name ends in float64.
"""

import math
import shutil
import sys
import warnings

import bitsandbytes.functional as bnb
import numpy as np
import torch
from peft import LoraConfig, VeraConfig, get_peft_model

from golden import GOLDENS, base_path, generator, load_base, logits_of, random_ids, tidy_adapter, write_json, write_tensors

OUT = GOLDENS / "methods" / "formulas"
torch.set_num_threads(1)


def save(name, tensors, facts=None):
    shutil.rmtree(OUT / name, ignore_errors=True)
    write_tensors(OUT / name / "tensors.safetensors", {
        k: torch.from_numpy(np.ascontiguousarray(v)) if isinstance(v, np.ndarray) else v for k, v in tensors.items()})
    if facts is not None:
        write_json(OUT / name / "facts.json", facts)
    print(f"{name:24} {len(tensors)} tensors, {(OUT / name / 'tensors.safetensors').stat().st_size} bytes", flush=True)


def randn(name, *shape, scale=1.0):
    return scale * torch.randn(shape, generator=generator(f"formulas/{name}"), dtype=torch.float64)


def to_float32(tensors):
    return {k: v.float() if torch.is_tensor(v) and v.dtype == torch.float64 and not k.endswith("float64") else v
            for k, v in tensors.items()}


# --- MoRA --------------------------------------------------------------------------------------------------------


def mora_rank(inputs, outputs, r, kind):
    rank = int(math.sqrt((inputs + outputs) * r) + 0.5)
    return rank // 2 * 2 if kind == 6 else rank


def sharing_index(width, rank):
    return torch.arange(width) % rank


def grouping_index(width, rank):
    """The first `width mod rank` groups have one element more than the rest."""
    small, large = width // rank, width % rank
    sizes = [small + 1] * large + [small] * (rank - large)
    return torch.repeat_interleave(torch.arange(rank), torch.tensor(sizes))


def compress_matrix(width, rank, grouped):
    """C [r̂, in] of 0 and 1 (or 2 where the wrap-around counts a feature twice in the same row)."""
    c = torch.zeros(rank, width, dtype=torch.float64)
    index = grouping_index(width, rank) if grouped else sharing_index(width, rank)
    c[index, torch.arange(width)] += 1
    if not grouped:
        for k in range((-width) % rank):
            c[(width + k) % rank, k % width] += 1
    return c


def decompress_matrix(width, rank, grouped):
    """D [out, r̂] of 0 and 1."""
    d = torch.zeros(width, rank, dtype=torch.float64)
    d[torch.arange(width), grouping_index(width, rank) if grouped else sharing_index(width, rank)] = 1
    return d


def rotate(block, position):
    """RoPE, half-split, base 10000, of [..., r̂] at one position."""
    half = block.shape[-1] // 2
    angle = position * 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    cos, sin = angle.cos().repeat(2), angle.sin().repeat(2)
    turned = torch.cat([-block[..., half:], block[..., :half]], -1)
    return block * cos + turned * sin


def mora_rotation(x, m, outputs):
    rank, inputs = m.shape[0], x.shape[-1]
    pad = (-inputs) % rank
    x = torch.cat([x, x[..., :pad]], -1)
    blocks = [rotate(x[..., i * rank:(i + 1) * rank], i) @ m.T for i in range(x.shape[-1] // rank)]
    y = torch.cat(blocks, -1)
    times = -(-outputs // y.shape[-1])
    return y.repeat(*[1] * (y.dim() - 1), times)[..., :outputs]


def mora():
    """y = f_dec(M·f_comp(x)) for each type, with ΔW [out, in] and the gradients of Σ(δ⊙y)."""
    tensors, facts = {}, {}
    # in > out, in < out, a GQA-like narrow output, and r̂ above the smaller width.
    for shape, (inputs, outputs, r) in {"a": (13, 10, 1), "b": (7, 17, 2), "c": (24, 6, 1), "d": (5, 12, 3)}.items():
        x, delta = randn(f"mora/{shape}/x", 3, inputs), randn(f"mora/{shape}/delta", 3, outputs)
        tensors |= {f"{shape}.x": x, f"{shape}.delta": delta}
        for kind in (1, 2, 3, 4, 6):
            key, rank = f"{shape}.type{kind}", mora_rank(inputs, outputs, r, kind)
            if rank < 2 or (kind in (2, 3) and rank > inputs) or (kind in (2, 4) and rank > outputs):
                continue  # Groups would be empty.
            if kind == 1 and rank > inputs:
                continue  # There are fewer features than the wrap-around needs.
            m = randn(f"mora/{key}/m", rank, rank, scale=0.5).requires_grad_()
            xs = x.clone().requires_grad_()
            if kind == 6:
                y = mora_rotation(xs, m, outputs)
                weight = mora_rotation(torch.eye(inputs, dtype=torch.float64), m, outputs).T
            else:
                c, d = compress_matrix(inputs, rank, kind in (2, 3)), decompress_matrix(outputs, rank, kind in (2, 4))
                weight = d @ m @ c
                y = xs @ weight.T
                tensors |= {f"{key}.compress": c, f"{key}.decompress": d}
            assert torch.allclose(y, x @ weight.T)
            (delta * y).sum().backward()
            tensors |= {f"{key}.m": m.detach(), f"{key}.y": y.detach(), f"{key}.delta_weight": weight.detach(),
                        f"{key}.grad_m": m.grad, f"{key}.grad_x": xs.grad}
            facts[key] = {"in": inputs, "out": outputs, "r": r, "rHat": rank,
                          "deltaWeightRank": int(torch.linalg.matrix_rank(weight))}
    save("mora", to_float32(tensors), facts)


# --- quantisation ------------------------------------------------------------------------------------------------


def nf4():
    """bitsandbytes' codes on the CPU, and the construction of the specification checked against them."""
    tensors, facts = {}, {"source": "bitsandbytes " + __import__("bitsandbytes").__version__ + ", CPU", "cases": {}}
    code = bnb.get_4bit_type("nf4", device="cpu").double().numpy()
    tensors["nf4.code"] = bnb.get_4bit_type("nf4", device="cpu")
    tensors["fp4.code"] = bnb.get_4bit_type("fp4", device="cpu")
    cases = {"square": randn("nf4/square", 37, 53, scale=0.03), "row": randn("nf4/row", 1, 65),
             "zeros": torch.cat([torch.zeros(64), randn("nf4/zeros", 64)]).reshape(2, 64),
             "double": randn("nf4/double", 140, 130, scale=0.02)}
    for name, weight in cases.items():
        weight = weight.float()
        tensors[f"{name}.weight"] = weight
        for kind in ("nf4", "fp4"):
            for double in (False, True):
                if double and name != "double" or kind == "fp4" and name == "double":
                    continue
                key = f"{name}.{kind}" + (".double" if double else "")
                packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type=kind, compress_statistics=double)
                tensors[f"{key}.packed"] = packed
                if not double:
                    tensors[f"{key}.absmax"] = state.absmax
                    tensors[f"{key}.dequantised"] = bnb.dequantize_4bit(packed, state)
                else:
                    back = bnb.dequantize_4bit(packed, state)
                    nested = bnb.dequantize_blockwise(state.absmax, state.state2)
                    tensors |= {f"{key}.absmax_codes": state.absmax, f"{key}.absmax2": state.state2.absmax,
                                f"{key}.offset": state.offset.reshape(1), f"{key}.absmax_back": nested + state.offset}
                    facts["cases"][key] = {"relativeRms": ((back - weight).norm() / weight.norm()).item()}
                if kind == "nf4" and not double:
                    flat = weight.double().numpy().reshape(-1)
                    blocks = np.pad(flat, (0, -len(flat) % 64)).reshape(-1, 64)
                    top = np.abs(blocks).max(1, keepdims=True)
                    scaled = np.divide(blocks, top, out=np.zeros_like(blocks), where=top > 0)
                    nearest = np.abs(scaled[..., None] - code).argmin(-1).reshape(-1)
                    nibbles = np.stack([packed.numpy().reshape(-1) >> 4, packed.numpy().reshape(-1) & 15], 1).reshape(-1)
                    wrong = int((nibbles[:len(flat)] != nearest[:len(flat)]).sum())
                    facts["cases"][key] = {"differsFromNearestCode": wrong,
                                           "relativeRms": (torch.linalg.norm(bnb.dequantize_4bit(packed, state) - weight)
                                                           / torch.linalg.norm(weight)).item()}
    signed, unsigned = bnb.create_dynamic_map(signed=True), bnb.create_dynamic_map(signed=False)
    tensors |= {"dynamic.signed": signed, "dynamic.unsigned": unsigned}
    for name, table, values in (("signed", signed, randn("dynamic/signed", 600)),
                                ("unsigned", unsigned, randn("dynamic/unsigned", 600).square())):
        values = values.float()
        codes, state = bnb.quantize_blockwise(values, code=table, blocksize=256)
        tensors |= {f"blockwise.{name}.values": values, f"blockwise.{name}.codes": codes,
                    f"blockwise.{name}.absmax": state.absmax,
                    f"blockwise.{name}.back": bnb.dequantize_blockwise(codes, state)}
        padded = torch.nn.functional.pad(values, (0, -len(values) % 256)).reshape(-1, 256)
        nearest = ((padded / padded.abs().amax(1, keepdim=True))[..., None] - table).abs().argmin(-1).reshape(-1)[:600]
        facts[f"blockwise.{name}.differsFromNearestCode"] = int((nearest != codes).sum())
        tensors[f"blockwise.{name}.nearest_codes"] = nearest.to(torch.uint8)
    save("quantisation", tensors, facts)


# --- GaLore ------------------------------------------------------------------------------------------------------


def galore():
    """10 projected AdamW steps, `std` side, refreshed every 4 steps by the exact SVD of the current gradient."""
    eta, alpha, decay, betas, eps, rank, refresh, steps = 0.01, 0.25, 0.1, (0.9, 0.999), 1e-6, 3, 4, 10
    tensors = {}
    for side, (m, n) in {"tall": (11, 7), "wide": (6, 13)}.items():
        w = randn(f"galore/{side}/w", m, n)
        common = randn(f"galore/{side}/common", m, n, scale=2)
        gradients = torch.stack([common + randn(f"galore/{side}/g{t}", m, n) for t in range(steps)])
        tensors |= {f"{side}.weight": w.clone(), f"{side}.gradients": gradients}
        first = second = None
        weights, projected = [], []
        for t, g in enumerate(gradients):
            if t % refresh == 0:
                u, _, vh = torch.linalg.svd(g, full_matrices=False)
                # The sign of each direction is free; the largest entry is made positive so that moments can compare.
                directions = vh[:rank] if m >= n else u[:, :rank].T
                signs = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
                q = directions * signs
                tensors[f"{side}.projector{t}"] = q if m >= n else q.T
            r = g @ q.T if m >= n else q @ g
            first = (1 - betas[0]) * r if first is None else betas[0] * first + (1 - betas[0]) * r
            second = (1 - betas[1]) * r**2 if second is None else betas[1] * second + (1 - betas[1]) * r**2
            update = first / (1 - betas[0] ** (t + 1)) / ((second / (1 - betas[1] ** (t + 1))).sqrt() + eps)
            w = w - eta * alpha * (update @ q if m >= n else q.T @ update)
            w = w * (1 - eta * decay)
            weights.append(w)
            projected.append(r)
        tensors |= {f"{side}.weights": torch.stack(weights), f"{side}.projected": torch.stack(projected),
                    f"{side}.first_moment": first, f"{side}.second_moment": second}
    save("galore", to_float32(tensors), {
        "learningRate": eta, "scale": alpha, "weightDecay": decay, "betas": betas, "eps": eps, "rank": rank,
        "refreshEvery": refresh, "steps": steps, "projType": "std",
        "epsForm": "m̂/(√v̂ + eps). The reference adds eps to the uncorrected √v instead, which makes it "
                   "eps/√(1−β2ᵗ) here: up to 30 times larger.",
        "signs": "Each projector direction has its largest entry positive. At a refresh the moments are not turned, "
                 "so a free sign changes what follows: fix the sign or compare up to t = 3.",
    })


def galore_8bit():
    """The same projected step with both moments kept in 8-bit blockwise codes; the size threshold is ignored."""
    eta, alpha, betas, eps, rank, steps, block = 0.01, 0.25, (0.9, 0.999), 1e-6, 5, 6, 256
    m, n = 67, 9
    signed, unsigned = bnb.create_dynamic_map(signed=True), bnb.create_dynamic_map(signed=False)

    def to_codes(values, table):
        flat = torch.nn.functional.pad(values.reshape(-1), (0, -values.numel() % block)).reshape(-1, block)
        top = flat.abs().amax(1, keepdim=True)
        codes = (flat / top.clamp(min=1e-38))[..., None].sub(table).abs().argmin(-1)
        back = (table[codes] * top).reshape(-1)[:values.numel()].reshape(values.shape)
        return codes.reshape(-1)[:values.numel()].to(torch.uint8), top.reshape(-1), back

    w = randn("galore8/w", m, n).float()
    gradients = torch.stack([randn(f"galore8/g{t}", m, n).float() for t in range(steps)])
    q = torch.linalg.svd(gradients[0].double(), full_matrices=False)[2][:rank].float()
    tensors = {"weight": w.clone(), "gradients": gradients, "projector": q}
    first = second = torch.zeros(m, rank)
    for t, g in enumerate(gradients):
        r = g @ q.T
        first = betas[0] * first + (1 - betas[0]) * r
        second = betas[1] * second + (1 - betas[1]) * r**2
        update = first / (1 - betas[0] ** (t + 1)) / ((second / (1 - betas[1] ** (t + 1))).sqrt() + eps)
        w = w - eta * alpha * (update @ q)
        codes1, top1, first = to_codes(first, signed)
        codes2, top2, second = to_codes(second, unsigned)
        tensors |= {f"step{t}.first_codes": codes1, f"step{t}.first_absmax": top1,
                    f"step{t}.second_codes": codes2, f"step{t}.second_absmax": top2, f"step{t}.weight": w}
    save("galore-8bit", tensors, {
        "learningRate": eta, "scale": alpha, "betas": betas, "eps": eps, "rank": rank, "blockSize": block,
        "note": "The update uses the fresh moments; then they are stored as codes. No refresh, no decay. The projector "
                "is given. A value within rounding of a midpoint may take the neighbouring code."})


# --- penalties, attention, co-updates ----------------------------------------------------------------------------


def olora_penalty():
    """O-LoRA: λ1·Σ|A_prev·A_tᵀ| + λ2·(‖A_t‖ + ‖B_t‖), with gradients."""
    previous, a, b = randn("o-lora/previous", 6, 11), randn("o-lora/a", 4, 11), randn("o-lora/b", 7, 4)
    a.requires_grad_(), b.requires_grad_()
    l1, l2 = 0.5, 0.1
    orthogonal, norms = (previous @ a.T).abs().sum(), a.norm() + b.norm()
    (l1 * orthogonal + l2 * norms).backward()
    assert torch.allclose(a.grad, l1 * (a @ previous.T).sign() @ previous + l2 * a / a.norm())
    save("o-lora", to_float32({
        "previous_a": previous, "a": a.detach(), "b": b.detach(), "grad_a": a.grad, "grad_b": b.grad,
        "squared_penalty": (previous @ a.T).square().sum().detach().reshape(1)}), {
        "lambda1": l1, "lambda2": l2, "orthogonalSum": orthogonal.item(), "normSum": norms.item(),
        "penalty": (l1 * orthogonal + l2 * norms).item(),
        "note": "squared_penalty is the paper's Σ(A_prev·A_tᵀ)², without a factor."})


def shifted_mask(length, group, shift):
    """Causal inside blocks; shifted blocks have borders group/2, 3·group/2, … and never wrap."""
    at = torch.arange(length)
    block = (at + (group // 2 if shift else 0)) // group
    return (block[:, None] == block[None, :]) & (at[None, :] <= at[:, None])


def longlora():
    """Shifted sparse attention, fast path, on q, k, v [B, H, S, D] after RoPE; with gradients of Σ(δ⊙y)."""
    batch, heads, length, width = 2, 4, 24, 6
    tensors = {}
    for group in (8, 12):
        q, k, v, delta = (randn(f"longlora/{group}/{n}", batch, heads, length, width) for n in "qkvd")
        for x in (q, k, v):
            x.requires_grad_()
        mask = torch.stack([shifted_mask(length, group, h >= heads // 2) for h in range(heads)])
        scores = (q @ k.transpose(-1, -2) / math.sqrt(width)).masked_fill(~mask, -math.inf)
        y = scores.softmax(-1) @ v
        (delta * y).sum().backward()
        tensors |= {f"g{group}.{n}": x.detach() for n, x in dict(q=q, k=k, v=v, delta=delta, output=y).items()}
        tensors |= {f"g{group}.grad_{n}": x.grad for n, x in dict(q=q, k=k, v=v).items()}
        tensors |= {f"g{group}.mask": mask.to(torch.uint8)}
    # With one group and no shifted half the result is causal attention.
    save("longlora", to_float32(tensors), {"groups": [8, 12], "layout": "[batch, heads, positions, head width]",
                                           "shiftedHeads": "the second half"})


def milora_and_xs():
    """MiLoRA's and PiSSA's product and residual, and LoRA-XS's forward and gradient, on one matrix each way."""
    tensors = {}
    for name, (outputs, inputs) in {"tall": (13, 7), "wide": (6, 11)}.items():
        w, r, s = randn(f"svd/{name}/w", outputs, inputs), 3, 0.5
        u, sigma, vh = torch.linalg.svd(w, full_matrices=False)
        for kind, part in (("pissa", slice(0, r)), ("milora", slice(len(sigma) - r, None))):
            product = (u[:, part] * sigma[part]) @ vh[part]
            tensors |= {f"{name}.{kind}.product": product, f"{name}.{kind}.residual": w - product}
        qr_q, qr_r = torch.linalg.qr(w)
        tensors |= {f"{name}.olora.product": s * qr_q[:, :r] @ qr_r[:r], f"{name}.weight": w, f"{name}.sigma": sigma}
        # LoRA-XS: ΔW = s·(U_rΣ_r)·R·V_rᵀ. R turns with the signs, so U_rΣ_r and V_rᵀ are given.
        left, right = u[:, :r] * sigma[:r], vh[:r]
        inner = randn(f"svd/{name}/r", r, r, scale=0.3).requires_grad_()
        x, delta = randn(f"svd/{name}/x", 4, inputs).requires_grad_(), randn(f"svd/{name}/delta", 4, outputs)
        y = s * x @ right.T @ inner.T @ left.T
        (delta * y).sum().backward()
        tensors |= {f"{name}.xs.{n}": t.detach() for n, t in dict(
            left=left, right=right, r=inner, x=x, delta=delta, y=y, grad_r=inner.grad, grad_x=x.grad).items()}
    save("svd", to_float32(tensors), {"rank": 3, "scaling": 0.5, "note": "product is s·B0·A0, so W = residual + product."})


def delta_lora():
    """10 AdamW steps on A and B; after each step from the warm-up's end on, W ← W + λ·s·(B₊A₊ − BA)."""
    outputs, inputs, r, s, lam, warm, lr = 9, 7, 2, 2.0, 0.5, 3, 0.02
    w = randn("delta-lora/w", outputs, inputs)
    a, b = randn("delta-lora/a", r, inputs, scale=0.3).requires_grad_(), torch.zeros(outputs, r, dtype=torch.float64)
    b.requires_grad_()
    x, target = randn("delta-lora/x", 10, 5, inputs), randn("delta-lora/target", 10, 5, outputs)
    tensors = {"weight": w.clone(), "a": a.detach().clone(), "b": b.detach().clone(), "x": x, "target": target}
    optimizer = torch.optim.AdamW([a, b], lr=lr, weight_decay=0.0)
    losses = []
    for t in range(10):
        loss = (x[t] @ (w + s * b @ a).T - target[t]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        before = (b @ a).detach()
        if t == warm:
            at_warm = before
        optimizer.step()
        if t >= warm:
            w = w + lam * s * ((b @ a).detach() - before)
    assert torch.allclose(w - tensors["weight"], lam * s * ((b @ a).detach() - at_warm))
    tensors |= {"final_weight": w, "final_a": a.detach(), "final_b": b.detach()}
    save("delta-lora", to_float32(tensors), {
        "scaling": s, "lambda": lam, "startStep": warm, "learningRate": lr, "betas": [0.9, 0.999], "eps": 1e-8,
        "loss": "mean over all entries of (x·(W + s·BA)ᵀ − target)²", "losses": losses,
        "note": "Steps are counted from 0; the update of W first follows step startStep's optimizer step."})


def relora():
    """Two cycles: W += s·BA, then a new A and B = 0. The output does not jump; the rank of W − W0 grows."""
    outputs, inputs, r, s = 8, 11, 2, 1.5
    w0 = w = randn("relora/w", outputs, inputs)
    x = randn("relora/x", 3, inputs)
    tensors, ranks = {"weight": w0, "x": x}, []
    for cycle in range(2):
        a, b = randn(f"relora/a{cycle}", r, inputs), randn(f"relora/b{cycle}", outputs, r)
        y = x @ w.T + s * x @ a.T @ b.T
        w = w + s * b @ a
        assert torch.allclose(y, x @ w.T)
        ranks.append(int(torch.linalg.matrix_rank(w - w0)))
        tensors |= {f"cycle{cycle}.a": a, f"cycle{cycle}.b": b, f"cycle{cycle}.y": y, f"cycle{cycle}.weight": w}
    save("relora", to_float32(tensors), {"scaling": s, "ranks": ranks})


def am_lora():
    """h_i = s·B_iA_ix, z_i = w_i·h_i, a = gate(z), y = Σ a_i h_i; loss term λ·mean|a|; gradients of all parts."""
    tensors, facts = {}, {"scaling": 2.0, "lambda": 0.1, "loss": "Σ(δ⊙y) + λ·mean|a|", "regulariser": {}}
    tasks, tokens, inputs, outputs, r, s, lam = 3, 5, 7, 9, 2, 2.0, 0.1
    x, delta = randn("am-lora/x", tokens, inputs), randn("am-lora/delta", tokens, outputs)
    a, b = randn("am-lora/a", tasks, r, inputs, scale=0.5), randn("am-lora/b", tasks, outputs, r, scale=0.5)
    w = randn("am-lora/w", tasks, outputs, scale=0.5)
    tensors |= dict(x=x, delta=delta, a=a, b=b, w=w)
    gates = dict(sigmoid=torch.sigmoid, relu=torch.relu, softmax=lambda z: z.softmax(0),
                 neutral_sigmoid=lambda z: 2 * torch.sigmoid(z), neutral_relu=lambda z: torch.relu(1 + z))
    for name, gate in gates.items():
        leaves = [t.clone().requires_grad_() for t in (x, a, b, w)]
        xs, as_, bs, ws = leaves
        h = s * torch.einsum("ti,kri,kor->kto", xs, as_, bs)
        gates_now = gate(torch.einsum("kto,ko->kt", h, ws))
        y = (gates_now[..., None] * h).sum(0)
        penalty = lam * gates_now.abs().mean()
        ((delta * y).sum() + penalty).backward()
        facts["regulariser"][name] = penalty.item()
        tensors |= {f"{name}.gates": gates_now.detach(), f"{name}.y": y.detach(), f"{name}.grad_x": xs.grad,
                    f"{name}.grad_a_last": as_.grad[-1], f"{name}.grad_b_last": bs.grad[-1], f"{name}.grad_w": ws.grad}
    save("am-lora", to_float32(tensors), facts)


def intrinsic_dimension():
    """θ = θ0 + Proj·z over a matrix and a bias (row-major, concatenated), and ∂z = Projᵀ∂θ."""
    outputs, inputs, d = 5, 7, 3
    theta = randn("intrinsic/theta", outputs * inputs + outputs)
    projection = randn("intrinsic/projection", theta.numel(), d, scale=0.2)
    z = randn("intrinsic/z", d).requires_grad_()
    x, delta = randn("intrinsic/x", 4, inputs), randn("intrinsic/delta", 4, outputs)
    moved = theta + projection @ z
    y = x @ moved[:outputs * inputs].reshape(outputs, inputs).T + moved[outputs * inputs:]
    (delta * y).sum().backward()
    save("intrinsic-dimension", to_float32(dict(
        theta=theta, projection=projection, z=z.detach(), x=x, delta=delta, y=y.detach(), grad_z=z.grad)), {
        "order": "theta is the weight [5, 7] row-major, then the bias [5]"})


def dora_dropout():
    """DoRA with dropout in training: base + (m/c − 1)⊙(D·W0ᵀ) + (m/c)⊙s·BA·D, D = Drop(x), c detached."""
    outputs, inputs, r, s, keep = 9, 7, 3, 2.0, 0.75
    w, bias = randn("dora/w", outputs, inputs), randn("dora/bias", outputs)
    leaves = [randn("dora/x", 6, inputs), randn("dora/a", r, inputs), randn("dora/b", outputs, r, scale=0.3),
              randn("dora/m", outputs).abs() + 1]
    x, a, b, m = (t.requires_grad_() for t in leaves)
    mask = (torch.rand(6, inputs, generator=generator("formulas/dora/mask")) < keep).double()
    delta = randn("dora/delta", 6, outputs)
    dropped = x * mask / keep
    c = (w + s * b @ a).norm(dim=1).detach()
    y = x @ w.T + bias + (m / c - 1) * (dropped @ w.T) + m / c * s * (dropped @ a.T @ b.T)
    (delta * y).sum().backward()
    save("dora-dropout", to_float32({
        "weight": w, "bias": bias, "mask": mask, "delta": delta, "norm": c, "y": y.detach(),
        **{n: t.detach() for n, t in dict(x=x, a=a, b=b, m=m).items()},
        **{f"grad_{n}": t.grad for n, t in dict(x=x, a=a, b=b, m=m).items()}}), {
        "scaling": s, "keep": keep, "note": "mask holds 0 and 1; kept inputs are divided by keep."})


def vera_projection():
    """PEFT's random projections by key, checked against MT19937 and one 24-bit draw for each element."""
    tensors, facts = {}, {"keys": {}}
    for key, base, r, targets in ((0, "gpt2", 5, ["c_attn", "mlp.c_proj"]), (7, "llama-plain", 3, ["q_proj", "down_proj"]),
                                  (2**32 - 1, "llama-plain", 6, ["q_proj"])):
        model = get_peft_model(load_base(base_path(base)), VeraConfig(r=r, projection_prng_key=key, target_modules=targets))
        a, b = model.base_model.vera_A["default"], model.base_model.vera_B["default"]
        draws = np.random.RandomState(key).randint(0, 2**32, size=a.numel() + b.numel(), dtype=np.uint64)
        unit = torch.from_numpy((draws & 0xFFFFFF).astype(np.float64) / 2**24)
        ours, fused = [], []
        for t, u, fan in ((a, unit[:a.numel()], a.shape[1]), (b, unit[a.numel():], r)):
            bound = math.sqrt(6 / fan)
            ours.append(((u * 2 * bound - bound).reshape(t.shape) - t.double()).abs().max().item())
            # The same with float32 bounds and one rounding at the end, as a fused multiply-add does.
            single = float(np.float32(bound))
            fused.append(bool(torch.equal((u * (2 * single) - single).reshape(t.shape).float(), t)))
        assert max(ours) < 3e-7, ours
        tensors |= {f"{key}.a": a, f"{key}.b": b}
        facts["keys"][str(key)] = {"base": base, "r": r, "targets": targets, "differenceOfConstruction": max(ours),
                                  "fusedIsBitEqual": {"a": fused[0], "b": fused[1]}}
    save("vera-projection", tensors, facts)


# --- combining adapters ------------------------------------------------------------------------------------------

SOURCES = dict(one=dict(r=4, lora_alpha=8), two=dict(r=4, lora_alpha=6), three=dict(r=2, lora_alpha=6))


def combine():
    """PEFT's add_weighted_adapter on three committed adapters of llama-plain; dare's random masks are recorded."""
    from peft.utils import merge_utils

    folder = OUT / "combine"
    shutil.rmtree(folder, ignore_errors=True)
    base = base_path("llama-plain")
    model = None
    for name, settings in SOURCES.items():
        config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "down_proj"], layers_to_transform=[1],
                            base_model_name_or_path=base, **settings)
        if model is None:
            model = get_peft_model(load_base(base), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    for n, p in model.named_parameters():
        if "lora_" in n:
            p.data = 0.2 * torch.randn(p.shape, generator=generator(f"combine/{n}"))
    for name in SOURCES:
        model.peft_config[name].base_model_name_or_path = base
    layers = {n.removeprefix("base_model.model."): m for n, m in model.named_modules() if hasattr(m, "lora_A")
              and hasattr(m, "base_layer")}
    sources = {f"{name}.{n}.{part}": getattr(m, f"lora_{part}")[name].weight.data
               for name in SOURCES for n, m in layers.items() for part in "AB"}

    masks = []
    bernoulli = torch.bernoulli

    def recorded(*args, **kwargs):
        masks.append(bernoulli(*args, **kwargs))
        return masks[-1]

    ids, mask = random_ids("combine", [16, 11])
    tensors, facts = {"input_ids": ids, "lengths": mask.sum(1)}, {"cases": {}}
    pair, all3 = (["one", "two"], [0.7, -0.4]), (["one", "two", "three"], [0.7, -0.4, 1.5])
    runs = {
        "cat": (all3, {}), "linear": (pair, {}), "svd": (all3, dict(svd_rank=5)),
        "ties": (pair, dict(density=0.5)), "ties-frequency": (pair, dict(density=0.5, majority_sign_method="frequency")),
        "dare_linear": (pair, dict(density=0.6)), "dare_ties": (pair, dict(density=0.6)),
        "magnitude_prune": (pair, dict(density=0.3)),
    }
    for name, ((adapters, weights), options) in runs.items():
        masks.clear()
        torch.manual_seed(5)
        merge_utils.torch.bernoulli = recorded
        out = name.replace("-", "_")
        try:
            model.add_weighted_adapter(adapters, weights, out, combination_type=name.split("-")[0], **options)
        finally:
            merge_utils.torch.bernoulli = bernoulli
        model.set_adapter(out)
        tensors[f"{name}.logits"] = logits_of(model, ids, mask)
        for n, m in layers.items():
            a, b = m.lora_A[out].weight.data, m.lora_B[out].weight.data
            if name == "svd":
                tensors[f"{name}.{n}.delta"] = m.scaling[out] * b @ a
            else:
                tensors |= {f"{name}.{n}.A": a.clone(), f"{name}.{n}.B": b.clone()}
        order = [(n, part, who) for n in layers for part in "AB" for who in adapters]
        assert len(masks) in (0, len(order)), (name, len(masks))
        tensors |= {f"{name}.{n}.{part}.mask.{who}": m.to(torch.uint8) for (n, part, who), m in zip(order, masks)}
        config = model.peft_config[out]
        facts["cases"][name] = {"adapters": adapters, "weights": weights, **options, "r": config.r,
                                "alpha": config.lora_alpha, "alphaPattern": dict(config.alpha_pattern),
                                "scaling": next(iter(layers.values())).scaling[out]}
    # svd: PEFT up to 0.20 applied each scaling twice; 0.21 does not.
    worst = 0.0
    for n, m in layers.items():
        for key, power in (("svd", 1), ("svd-scaled-twice", 2)):
            total = sum(w * m.scaling[who] ** power * m.lora_B[who].weight.data.double() @ m.lora_A[who].weight.data.double()
                        for who, w in zip(*all3))
            u, sigma, vh = torch.linalg.svd(total, full_matrices=False)
            product = (u[:, :5] * sigma[:5]) @ vh[:5]
            if power == 1:
                worst = max(worst, (product - tensors[f"svd.{n}.delta"]).abs().max().item())
            else:
                tensors[f"{key}.{n}.delta"] = product.float()
        exact = sum(w * m.scaling[who] * m.lora_B[who].weight.data @ m.lora_A[who].weight.data
                    for who, w in zip(*all3))
        cat = tensors[f"cat.{n}.B"] @ tensors[f"cat.{n}.A"] * facts["cases"]["cat"]["scaling"]
        assert torch.allclose(cat, exact, atol=1e-6)
    assert worst < 1e-5, worst
    facts["note"] = ("A, B: as PEFT made them; ΔW = scaling·B·A. svd: only the product is given, rank 5; "
                     "svd-scaled-twice is what PEFT up to 0.20 made. Masks of dare: 1 keeps; kept entries are divided "
                     "by density.")
    save("combine", sources | tensors, facts)
    for name in SOURCES:
        model.save_pretrained(folder, selected_adapters=[name])
        tidy_adapter(folder / name)
    (folder / "README.md").unlink(missing_ok=True)


CASES = dict(
    mora=mora, quantisation=nf4, galore=galore, galore_8bit=galore_8bit, o_lora=olora_penalty, longlora=longlora,
    svd=milora_and_xs, delta_lora=delta_lora, relora=relora, am_lora=am_lora, intrinsic_dimension=intrinsic_dimension,
    dora_dropout=dora_dropout, vera_projection=vera_projection, combine=combine)

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for case_name in sys.argv[1:] or CASES:
        CASES[case_name]()
