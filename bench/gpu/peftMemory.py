"""What a PEFT + PyTorch step takes of a GPU's memory, without a GPU: PyTorch's own operators in their fake mode, which makes every
tensor and computes none, and the bytes of the storages that live at once, rounded up to the 512 of CUDA's allocator.

    python bench/gpu/peftMemory.py bench/models/llama-3.2-1b.json --batch 1 --length 1024 [--checkpointing]

As bench/peftBaseline.py trains: bf16 weights, adapters in fp32 (r=8 on all linears), SDPA, fused AdamW. Not counted: CUDA's context,
cuBLAS's workspace, and what the allocator leaves unused. Fake tensors lie on the CPU, since autograd's thread for a GPU needs one.
"""

import argparse
import json
import pathlib
import weakref

import peft
import peft.tuners.tuners_utils as tuners
import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

p = argparse.ArgumentParser()
p.add_argument("config", type=pathlib.Path)
p.add_argument("--batch", type=int, default=1)
p.add_argument("--length", type=int, default=1024)
p.add_argument("--checkpointing", action="store_true")
given = p.parse_args()


class LiveBytes(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = {}

    def add(self, tensor):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        self.known[key] = -(-storage.nbytes() // 512) * 512
        self.live += self.known[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self.drop, key)

    def drop(self, key):
        self.live -= self.known.pop(key, 0)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        pytree.tree_map_only(torch.Tensor, self.add, result)
        return result


# Fake tensors cannot be exchanged in place; all are made where and as they are to be.
torch.utils.swap_tensors = lambda a, b: None
tuners.BaseTunerLayer._move_adapter_to_device_of_base_layer = lambda *_, **__: None

config = transformers.LlamaConfig(**json.loads(given.config.read_text()))
config._attn_implementation = "sdpa"
with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as bytes_, torch.device("cpu"):
    torch.set_default_dtype(torch.bfloat16)
    model = transformers.LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.config.use_cache = False
    weights = bytes_.live
    settings = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, settings)
    if given.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=True)
    ids = torch.randint(0, config.vocab_size, (given.batch, given.length))
    for _ in range(2):
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

facts = {"weights": weights, "peak": bytes_.peak}
print(json.dumps({name: round(value / 2**20) for name, value in facts.items()} | {
    "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}))
