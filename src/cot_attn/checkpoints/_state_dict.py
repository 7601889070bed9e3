"""Whether a checkpoint's tensors are exactly those that a model needs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cot_attn.checkpoints._weights import same_numbers

Shape = tuple[int, ...]
SHOWN = 20

# Constants that older versions of transformers stored with the weights: masks and frequencies.
_CONSTANT = re.compile(r".*\.(attn\.(masked_)?bias|rotary_emb\.inv_freq)")


@dataclass(frozen=True)
class StateDictDiff:
    """What keeps the state dict of a checkpoint from fitting a model.

    Attributes
    ----------
    missing
        Keys that the model needs and the checkpoint has not.
    unexpected
        Keys that the checkpoint has and nobody knows.
    misshapen
        Keys of both whose shapes differ: the checkpoint's shape and the model's.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: dict[str, tuple[Shape, Shape]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def error(self, where: str, what: str, hint: str) -> ValueError:
        """Return the error that lists the keys.

        Parameters
        ----------
        where
            The file.
        what
            What it should fit.
        hint
            A sentence about the likely cause.
        """
        shapes = [f"{key}: {got}, not {want}" for key, (got, want) in self.misshapen.items()]
        groups = [
            _group("missing", self.missing),
            _group("not expected", self.unexpected),
            _group("wrong shape", shapes),
        ]
        return ValueError(f"{where} does not fit {what}. {hint}" + "".join(groups))


def state_dict_diff(wanted: Mapping[str, Shape], tensors: Mapping[str, Tensor]) -> StateDictDiff:
    """Return the difference between the shapes that are needed and the tensors that are there."""
    return StateDictDiff(
        missing=tuple(key for key in wanted if key not in tensors),
        unexpected=tuple(sorted(tensors.keys() - wanted.keys())),
        misshapen={
            key: (tuple(tensors[key].shape), shape)
            for key, shape in wanted.items()
            if key in tensors and tuple(tensors[key].shape) != tuple(shape)
        },
    )


def take_unused(tensors: dict[str, Tensor], unused: tuple[str, ...]) -> tuple[str, ...]:
    """Remove the keys that running a model does not need, and return them.

    Parameters
    ----------
    tensors
        The checkpoint's tensors; changed.
    unused
        How such keys begin. Constants of older transformers versions always count as such.
    """
    taken = tuple(key for key in tensors if key.startswith(unused) or _CONSTANT.fullmatch(key))
    for key in taken:
        del tensors[key]
    return taken


def take_repeats(
    tensors: dict[str, Tensor], repeats: Mapping[str, str], where: str
) -> tuple[str, ...]:
    """Remove the keys that repeat another key's tensor, and return them.

    A file may hold either or both of two tied names. What only the repeating name holds moves to
    the other.

    Parameters
    ----------
    tensors
        The checkpoint's tensors; changed.
    repeats
        The key that each repeating key repeats.
    where
        The file.

    Raises
    ------
    ValueError
        Where both are there and differ.
    """
    taken = []
    for key, first in repeats.items():
        if key not in tensors:
            continue
        tensor = tensors.pop(key)
        if not same_numbers(tensors.setdefault(first, tensor), tensor):
            raise ValueError(
                f"{where} holds {first!r} and {key!r} with different numbers, where the base ties "
                "the two together. Give the right base=, or save the checkpoint again."
            )
        taken.append(key)
    return tuple(taken)


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise where a tensor has a NaN or an infinity in it."""
    broken = [
        key
        for key, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if broken:
        raise ValueError(
            f"{where} has NaN or infinite numbers in it. Either its training diverged or the file "
            "is damaged; no answer of it would mean anything." + _group("not finite", broken)
        )


def _group(title: str, keys: Iterable[str]) -> str:
    keys = list(keys)
    if not keys:
        return ""
    more = [f"and {len(keys) - SHOWN} more"] if len(keys) > SHOWN else []
    return f"\n  {title} ({len(keys)}):\n    " + "\n    ".join([*keys[:SHOWN], *more])
