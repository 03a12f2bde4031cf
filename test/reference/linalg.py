"""Makes test/goldens/linalg/small.json: a small matrix, its singular values, and rank-3 parts, by NumPy in float64."""

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "goldens" / "linalg"


def case(rows: int, columns: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rows, columns)).astype(np.float32)
    u, sigma, vh = np.linalg.svd(a.astype(np.float64), full_matrices=False)
    q, r = np.linalg.qr(a.astype(np.float64))
    part = lambda k: (u[:, k] * sigma[k]) @ vh[k]
    return {
        "rows": rows, "columns": columns, "matrix": a.flatten().tolist(), "sigma": sigma.tolist(),
        "top3": part(slice(0, 3)).flatten().tolist(), "bottom3": part(slice(-3, None)).flatten().tolist(),
        "qr3": (q[:, :3] @ r[:3]).flatten().tolist(),
    }


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    cases = [case(12, 20, 1), case(21, 9, 2)]
    (OUT / "small.json").write_text(json.dumps({"numpy": np.__version__, "cases": cases}) + "\n")
