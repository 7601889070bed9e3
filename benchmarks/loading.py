"""How much memory loading a checkpoint takes, beside the weights that it leaves.

`python -m benchmarks.loading` makes checkpoints of Llama 3.2 1B's shape up on disk, loads each in a
process of its own and prints the peaks as JSON.
"""

import argparse
import copy
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypedDict

import torch
from safetensors.torch import save_file
from transformers import PretrainedConfig

from benchmarks.models import N_THOUGHTS, SHAPES, tokenizer_of
from cot_attn import ContinuousThoughtModel
from cot_attn.checkpoints._build import blank_model, untied_names

Loaded = TypedDict(
    "Loaded", {"weights, MB": float, "peak": float, "anonymous": float, "left": float}
)
RANK = 32
WAYS = {
    "Coconut": ("coconut", "float32", "float32"),
    "Coconut in 4 shards": ("coconut sharded", "float32", "float32"),
    "Coconut, a PyTorch file": ("coconut pytorch", "float32", "float32"),
    "Coconut, bfloat16 to float32": ("coconut", "bfloat16", "float32"),
    "Coconut, float32 to bfloat16": ("coconut", "float32", "bfloat16"),
    "CODI with LoRA": ("codi", "float32", "float32"),
    "CODI with LoRA in 4 shards": ("codi sharded", "float32", "float32"),
    "CODI with LoRA, bfloat16": ("codi", "bfloat16", "bfloat16"),
    "plain language model": ("plain", "float32", "float32"),
    "plain language model, float32 to bfloat16": ("plain", "float32", "bfloat16"),
}
"""How a checkpoint is stored, the type of its file, and the type that it is loaded in."""


def peaks(
    names: Iterable[str] = tuple(WAYS), shape: Mapping[str, int] | None = None
) -> Iterator[tuple[str, Loaded]]:
    """Yield the peak memory of loading in each way, as multiples of the weights' size."""
    config = copy.deepcopy(SHAPES["llama-1b-4-layers"])
    config.update({"num_hidden_layers": 16, "architectures": ["LlamaForCausalLM"], **(shape or {})})
    config.bos_token_id, config.eos_token_id = None, config.vocab_size - 3
    for name in names:
        way, stored, loaded = WAYS[name]
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), config, way, getattr(torch, stored))
            command = [sys.executable, "-m", "benchmarks.loading", "--load", folder, way, loaded]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        yield name, json.loads(done.stdout.splitlines()[-1])


def make(folder: Path, config: PretrainedConfig, way: str, dtype: torch.dtype) -> None:
    """Make a checkpoint up that can be loaded from its folder alone."""
    base = folder if way == "plain" else folder / "base"
    config.save_pretrained(base)
    tokenizer_of(config.vocab_size).save_pretrained(base)
    named = list(shapes(config, way.partition(" ")[0]))
    n_shards = 4 if way.endswith("sharded") else 1
    torch.manual_seed(0)
    for shard in range(n_shards):
        tensors = {
            name: (0.02 * torch.randn(shape)).to(dtype) for name, shape in named[shard::n_shards]
        }
        part = f"-{shard + 1:05d}-of-{n_shards:05d}" if n_shards > 1 else ""
        if way.endswith("pytorch"):
            torch.save(tensors, folder / "pytorch_model.bin")
        else:
            save_file(tensors, folder / f"model{part}.safetensors", metadata={"format": "pt"})


def shapes(config: PretrainedConfig, family: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and shapes of a checkpoint's tensors."""
    grown = copy.deepcopy(config)
    grown.vocab_size += 0 if family == "plain" else 3
    model = blank_model(grown)
    tensors = model.state_dict()
    if family != "codi":
        before = "base_causallm." if family == "coconut" else ""
        yield from ((before + name, tuple(tensors[name].shape)) for name in untied_names(model))
        return
    before, width = "codi.base_model.model.", config.hidden_size
    for name in untied_names(model):
        shape = tuple(tensors[name].shape)
        module, _, parameter = name.rpartition(".")
        if not module.endswith("_proj"):
            yield before + name, shape
            continue
        yield f"{before}{module}.base_layer.{parameter}", shape
        yield f"{before}{module}.lora_A.default.weight", (RANK, shape[1])
        yield f"{before}{module}.lora_B.default.weight", (shape[0], RANK)
    for layer in ("1", "3"):
        yield f"prj.{layer}.weight", (width, width)
        yield f"prj.{layer}.bias", (width,)


def load(folder: Path, way: str, dtype: str) -> Loaded:
    """Load a checkpoint, and say how far memory rose for it.

    `anonymous` leaves out what is mapped from the file, which the system takes back at need.
    """
    ContinuousThoughtModel.from_pretrained("toy-gpt2")  # what is imported and made once
    before, stop, seen = _status(), threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.002):
            seen.append(_status()["RssAnon"])

    threading.Thread(target=watch, daemon=True).start()
    model = loaded(folder, way, dtype)
    stop.set()
    parameters = {id(each): each for each in model.bridge.original_model.parameters()}
    size = sum(each.nbytes for each in parameters.values()) / 1e6
    return {
        "weights, MB": size,
        "peak": (_status()["VmHWM"] - before["VmRSS"]) / size,
        "anonymous": (max(seen) - before["RssAnon"]) / size,
        "left": (_status()["RssAnon"] - before["RssAnon"]) / size,
    }


def loaded(folder: Path, way: str, dtype: str) -> ContinuousThoughtModel:
    if way == "plain":
        return ContinuousThoughtModel.from_language_model(
            folder, n_thoughts=N_THOUGHTS, dtype=dtype, bot="w1", eot="w2"
        )
    return ContinuousThoughtModel.from_pretrained(
        folder,
        base=folder / "base",
        n_thoughts=N_THOUGHTS,
        lora_alpha=RANK if way.startswith("codi") else None,
        dtype=dtype,
    )


def _status() -> dict[str, float]:
    """Return what the system says of this process's memory, in MB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return {name: int(size) / 1e3 for name, size in re.findall(r"(\w+):\s+(\d+) kB", text)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--shape", type=json.loads, default={}, help="of another model, as JSON")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--load", nargs=3)
    asked = parser.parse_args()
    if asked.load:
        print(json.dumps(load(Path(asked.load[0]), *asked.load[1:])))
    else:
        for name, numbers in peaks(asked.ways, asked.shape):
            print(name, json.dumps(numbers), flush=True)
