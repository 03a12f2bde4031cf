"""Loads an adapter that this project wrote in PEFT, and compares PEFT's logits with ours.

    python check_adapter.py --base FOLDER --adapter FOLDER --logits FILE.safetensors [--golden FILE.safetensors]

The file holds input_ids (int64 [rows, S]), our logits (float32 [rows, S, vocab]) and, where rows are
right-padded, lengths (int64 [rows]). Prints one JSON line; the exit status is 1 if the largest absolute
difference, divided by the logits' standard deviation where that is above 1, exceeds the tolerance, or if
PEFT finds tensors missing or surplus. With --golden PEFT's logits are written there, and the file need not
hold ours.
"""

import argparse
import json
import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from safetensors.torch import load_file

from golden import STARTED_IN, load_base, logits_of, versions, write_tensors


def folder_or_file(text: str) -> pathlib.Path:
    """A path as seen from where the command was started; golden.py moves to the project's root."""
    return STARTED_IN / text


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--base", required=True, type=folder_or_file)
    p.add_argument("--adapter", required=True, type=folder_or_file)
    p.add_argument("--logits", required=True, type=folder_or_file)
    p.add_argument("--golden", type=folder_or_file)
    p.add_argument("--tolerance", type=float, default=1e-5)
    p.add_argument("--merged", action="store_true", help="compare the merged model's logits")
    return p.parse_args()


def main() -> int:
    given = arguments()
    file = load_file(given.logits)
    ids = file["input_ids"].long()
    lengths = file.get("lengths", torch.full(ids.shape[:1], ids.shape[1]))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()

    model = PeftModel.from_pretrained(load_base(given.base), given.adapter)
    # A reload into the same model reports what the file lacks or has too many of. AdaLoRA's modules have shrunk to the ranks
    # that the file kept, and PEFT cannot load into them again.
    again = model.active_peft_config.peft_type != "ADALORA"
    found = model.load_adapter(given.adapter, "default") if again else type("Found", (), {"missing_keys": [], "unexpected_keys": []})
    missing = [k for k in found.missing_keys if "lora" in k or "vera" in k or "modules_to_save" in k]
    surplus = list(found.unexpected_keys)
    if given.merged:
        model = model.merge_and_unload()
    logits = logits_of(model, ids, mask)

    report = {"missing": missing, "surplus": surplus}
    wrong = bool(missing or surplus)
    if "logits" in file:
        ours = file["logits"]
        if ours.shape != logits.shape:
            print(f"logits have shape {tuple(ours.shape)}, expected {tuple(logits.shape)}", file=sys.stderr)
            return 1
        real = mask.bool()
        scale = max(1.0, logits[real].std().item())
        difference = (ours[real] - logits[real]).abs().max().item() / scale
        report |= {"maxAbsDifference": difference if difference == difference else None, "tolerance": given.tolerance}
        # Written so that a NaN fails.
        wrong |= not difference <= given.tolerance
    elif not given.golden:
        print(f"{given.logits} holds no tensor named logits; give --golden to write PEFT's", file=sys.stderr)
        return 1
    if given.golden:
        write_tensors(given.golden, {"input_ids": ids, "lengths": lengths, "logits": logits})
    print(json.dumps(report | {"ok": not wrong, "versions": versions()}))
    return int(wrong)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.exit(main())
