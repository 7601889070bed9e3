"""LoRA in a checkpoint: which modules have it, of what rank, and merging it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from cot_attn.checkpoints._state_dict import Shape

# Linear layers have `.lora_A.<adapter>.weight`, embeddings `.lora_embedding_A.<adapter>`; a file
# that peft itself wrote leaves the adapter's name out.
_HALF = re.compile(
    r"(?P<module>.+)\.lora_(?:(?P<half>[AB])(?:\.(?P<adapter>[^.]+))?\.weight"
    r"|embedding_(?P<half2>[AB])(?:\.(?P<adapter2>[^.]+))?)"
)
_BASE = re.compile(r"(?P<module>.+)\.base_layer\.\w+")


@dataclass(frozen=True)
class Lora:
    """The adapted modules of a checkpoint.

    Attributes
    ----------
    ranks
        The rank of every adapted module, by its name in the language model.
    adapter
        What peft calls the adapter; empty in files that leave its name out.
    """

    ranks: dict[str, int]
    adapter: str

    def key(self, name: str) -> str:
        """Return what peft calls a parameter of the language model."""
        module, _, parameter = name.rpartition(".")
        return f"{module}.base_layer.{parameter}" if module in self.ranks else name

    def adapts(self, name: str) -> bool:
        """Whether the module of a parameter has LoRA."""
        return name.rpartition(".")[0] in self.ranks

    def shapes(self, model: PreTrainedModel) -> dict[str, Shape]:
        """Return the shapes of both halves of every adapted module that the model has."""
        inner = dict(model.named_modules())
        shapes: dict[str, Shape] = {}
        for name, rank in self.ranks.items():
            weight = getattr(inner.get(name), "weight", None)
            if weight is None or weight.ndim != 2:
                continue
            n_in, n_out = weight.shape if _is_transposed(inner[name]) else weight.shape[::-1]
            a, b = self._halves(name, inner[name])
            shapes |= {a: (rank, n_in), b: (n_out, rank)}
        return shapes

    @torch.no_grad()
    def merged(
        self,
        tensors: Mapping[str, Tensor],
        model: PreTrainedModel,
        scales: Mapping[str, float],
        halves: Mapping[str, Tensor],
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield copies of a model's tensors one by one, scale times B A added to adapted weights.

        Parameters
        ----------
        tensors
            Those of the language model, by its names; no two share a tensor with LoRA.
        model
            The language model's modules, without weights.
        scales
            The strength in every adapted module.
        halves
            A and B of every adapted module, by peft's names.
        """
        for name, tensor in tensors.items():
            adapted, _, parameter = name.rpartition(".")
            if parameter != "weight" or adapted not in scales:
                yield name, tensor.clone()
                continue
            module = model.get_submodule(adapted)
            a, b = (halves[half].to(torch.float32) for half in self._halves(adapted, module))
            change = (b @ a).T if _is_transposed(module) else b @ a
            yield name, tensor.to(torch.float32, copy=True).add_(change * scales[adapted])

    def _halves(self, name: str, module: nn.Module) -> tuple[str, str]:
        ending = f".{self.adapter}" if self.adapter else ""
        if isinstance(module, nn.Embedding):
            return f"{name}.lora_embedding_A{ending}", f"{name}.lora_embedding_B{ending}"
        return f"{name}.lora_A{ending}.weight", f"{name}.lora_B{ending}.weight"


def find_lora(tensors: Mapping[str, Tensor], where: str) -> Lora | None:
    """Return the adapted modules among peft's names, or None where there are none.

    Raises
    ------
    ValueError
        Where there are several adapters, or something of peft's that is no plain LoRA.
    """
    _check_kind(tensors, where)
    modules: set[str] = set()
    adapters: set[str] = set()
    ranks: dict[tuple[str, str], int] = {}
    for key, tensor in tensors.items():
        if half := _HALF.fullmatch(key):
            modules.add(half["module"])
            adapters.add(half["adapter"] or half["adapter2"] or "")
            which = half["half"] or half["half2"]
            if tensor.ndim == 2:  # A is (rank, in), B is (out, rank)
                ranks[half["module"], which] = int(tensor.shape["AB".index(which)])
        elif layer := _BASE.fullmatch(key):
            modules.add(layer["module"])
    if not modules:
        return None
    if len(adapters) > 1:
        raise ValueError(
            f"{where} has several LoRA adapters, {sorted(adapters)}, and no telling which of them "
            "is meant. Save it with one: delete the others with peft's `delete_adapter`, or merge "
            f"the right one. {_MERGE}"
        )
    found = {
        module: ranks.get((module, "A"), ranks.get((module, "B"), 0)) for module in sorted(modules)
    }
    return Lora(found, next(iter(adapters), "default"))


def _is_transposed(module: nn.Module) -> bool:
    """Whether a module stores its weight as (in, out), as GPT-2's Conv1D does."""
    return isinstance(module, Conv1D | nn.Embedding)


# What peft can put into a state dict that is no plain LoRA.
_KINDS = {
    r".*\.lora_magnitude_vector\b.*": "DoRA (use_dora=True): LoRA with a vector of magnitudes",
    r".*\.(modules_to_save|original_module)\..*": "whole modules trained beside LoRA "
    "(modules_to_save)",
    r".*\.(token_adapter|trainable_tokens_\w+)\..*": "trainable tokens (trainable_token_indices)",
    r".*\.lora_B\..*bias": "LoRA with a bias (lora_bias=True)",
    r".*\.(hada_w|lokr_w|ia3_|vera_|oft_|boft_|randlora_|vblora_|hra_|ada_?lora_|lora_E).*": (
        "an adapter of another method than LoRA"
    ),
    r".*\.(absmax|quant_map|nested_\w+|quant_state.*|SCB|qweight|qzeros)": ("quantised weights"),
}
_MERGE = (
    "To merge it where it was trained, put what peft's `merge_and_unload()` returns in the place "
    "of the wrapped model and save the whole state dict again."
)


def _check_kind(keys: Mapping[str, Tensor], where: str) -> None:
    for pattern, kind in _KINDS.items():
        if found := [key for key in keys if re.fullmatch(pattern, key)]:
            listed = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if found[3:] else "")
            raise ValueError(
                f"{where} has {kind}, as in {listed}. Of peft's formats plain LoRA is read, on "
                f"weights that are not quantised. {_MERGE}"
            )
