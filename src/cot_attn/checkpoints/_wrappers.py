"""Names that training tools put into every key, taken off."""

from dataclasses import replace

from cot_attn.checkpoints._weights import Weights

# torch.compile, FSDP and activation checkpointing put a part of their own anywhere.
_ANYWHERE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_IN_FRONT = "module"  # DataParallel and DDP: round the whole model, or round its language model


def without_wrappers(weights: Weights) -> tuple[Weights, tuple[str, ...]]:
    """Return weights whose keys have no wrappers' names in them, and a sentence about each.

    Raises
    ------
    ValueError
        Where two keys would become one.
    """
    tensors = {}
    counts: dict[str, int] = {}
    for key, tensor in weights.tensors.items():
        name, removed = _unwrapped(key)
        for wrapper in removed:
            counts[wrapper] = counts.get(wrapper, 0) + 1
        if name in tensors:
            raise ValueError(
                f"{weights.where} holds {name!r} twice, with and without the name of a wrapper "
                f"({key!r}). Save the state dict of the unwrapped model again."
            )
        tensors[name] = tensor
    notes = tuple(
        f"took {wrapper + '.'!r} out of {count} keys" for wrapper, count in counts.items()
    )
    return replace(weights, tensors=tensors), notes


def _unwrapped(key: str) -> tuple[str, list[str]]:
    """Return a key without wrappers' names, and those names once each."""
    names = key.split(".")
    removed = [name for name in names if name in _ANYWHERE]
    names = [name for name in names if name not in _ANYWHERE]
    for level in (0, 1):
        while len(names) > level + 1 and names[level] == _IN_FRONT:
            names.pop(level)
            removed.append(_IN_FRONT)
    return ".".join(names), list(dict.fromkeys(removed))
