"""Where the goldens lie, and how a reference base model is read: in float32, eager attention, CPU.

Shared by the scripts beside it. It knows of transformers; it must not know of PEFT.
"""

import json
import os
import pathlib
import zlib

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "test" / "goldens"
MODELS = GOLDENS / "models"
VOCAB = 101

# Paths inside the goldens are relative to the project's root, so the scripts work from there.
STARTED_IN = pathlib.Path.cwd()
os.chdir(ROOT)
torch.set_num_threads(2)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def generator(name: str) -> torch.Generator:
    """A generator seeded by a name, so that one golden does not depend on which others were made."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def base_path(name: str) -> str:
    """The base model's folder, relative to the project's root (it goes into adapter_config.json)."""
    return (MODELS / name).relative_to(ROOT).as_posix()


def load_base(path, dtype=torch.float32):
    """A causal language model from its folder; F16 and BF16 weights are widened exactly."""
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager")


def random_ids(name: str, lengths: list[int], vocab: int = VOCAB):
    """Right-padded rows. Returns input_ids and attention_mask, int64 [rows, max(lengths)]; padding is id 0."""
    gen = generator(f"{name}/input_ids")
    ids = torch.randint(3, vocab, (len(lengths), max(lengths)), generator=gen)
    mask = (torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]).long()
    return ids * mask, mask


def logits_of(model, ids, mask):
    """Float32 logits [rows, S, vocab]; padded positions are zeroed, since nothing may compare them."""
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return torch.where(mask[..., None].bool(), logits, 0).float()


def write_tensors(path, tensors: dict):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, str(path), metadata={"format": "pt"})


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def versions() -> dict:
    import peft

    return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def tidy_adapter(folder):
    """Drops PEFT's model card and sorts the lists that PEFT writes in arbitrary order, so that a remake is identical."""
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ("target_modules", "exclude_modules", "modules_to_save"):
        if isinstance(config.get(key), list):
            config[key].sort()
    write_json(path, config)
