"""LoRA in a checkpoint: which modules have it, of what rank, and merging it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from cot_attn.models.keys import Shape

_HALF = re.compile(r"(?P<module>.+)\.lora_(?P<half>[AB])\.default\.weight")
_BASE = re.compile(r"(?P<module>.+)\.base_layer\.\w+")


@dataclass(frozen=True)
class Lora:
    """The adapted modules of a checkpoint.

    Attributes
    ----------
    modules
        Their names in the language model.
    rank
        The rank of their two halves; where they differ, the most frequent.
    """

    modules: tuple[str, ...]
    rank: int

    def key(self, name: str) -> str:
        """Return what peft calls a parameter of the language model."""
        module, _, parameter = name.rpartition(".")
        return f"{module}.base_layer.{parameter}" if module in self.modules else name

    def shapes(self, model: PreTrainedModel) -> dict[str, Shape]:
        """Return the shapes of both halves of every adapted module that the model has."""
        inner = dict(model.named_modules())
        shapes: dict[str, Shape] = {}
        for name in self.modules:
            weight = getattr(inner.get(name), "weight", None)
            if weight is None or weight.ndim != 2:
                continue
            # GPT-2's Conv1D stores (in, out), a Linear (out, in).
            n_in, n_out = weight.shape if isinstance(inner[name], Conv1D) else weight.shape[::-1]
            shapes[f"{name}.lora_A.default.weight"] = (self.rank, n_in)
            shapes[f"{name}.lora_B.default.weight"] = (n_out, self.rank)
        return shapes


def find_lora(tensors: Mapping[str, Tensor]) -> Lora | None:
    """Return the adapted modules among peft's names, or None where there are none."""
    modules, ranks = set(), []
    for key, tensor in tensors.items():
        if half := _HALF.fullmatch(key):
            modules.add(half["module"])
            if tensor.ndim == 2:  # A is (rank, in), B is (out, rank)
                ranks.append(int(tensor.shape[0 if half["half"] == "A" else 1]))
        elif layer := _BASE.fullmatch(key):
            modules.add(layer["module"])
    if not modules:
        return None
    return Lora(tuple(sorted(modules)), Counter(ranks).most_common(1)[0][0] if ranks else 0)


def merge_lora(
    model: PreTrainedModel, lora: Lora, alpha: int | float, halves: Mapping[str, Tensor]
) -> PreTrainedModel:
    """Return the model with LoRA merged into its weights: W + alpha / rank * B A.

    Parameters
    ----------
    model
        The language model without LoRA; its weights are changed.
    lora
        The adapted modules.
    alpha
        The strength that training used.
    halves
        A and B of every adapted module, by peft's names.
    """
    first = dict(model.named_modules())[lora.modules[0]]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=list(lora.modules),
        fan_in_fan_out=isinstance(first, Conv1D),
    )
    wrapped = get_peft_model(model, config)
    names = {f"base_model.model.{name}": tensor for name, tensor in halves.items()}
    outcome = wrapped.load_state_dict(names, strict=False)
    assert not outcome.unexpected_keys, outcome.unexpected_keys
    merged: PreTrainedModel = wrapped.merge_and_unload()
    merged.requires_grad_(False)
    merged.eval()
    return merged
