"""What one problem has at a hook, found out by running one question, and the memory of all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from cot_attn.data.problem import Problem
from cot_attn.models._hook_points import HookName, chosen_names
from cot_attn.models.hooks import HookedModel, on_its_own_account
from cot_attn.models.layout import Layout
from cot_attn.models.stages import Answer, Close, Stage, Thought

Names = HookName | Iterable[HookName]
"""A hook name, a function that says whether a name is chosen, or several of both."""


@dataclass(frozen=True)
class Activation:
    """What one problem has at a hook in one stage.

    Attributes
    ----------
    shape
        A vector's width, or the number of heads and the width of each.
    dtype
        float64 where the model runs in it, and otherwise float32.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


@on_its_own_account
@torch.no_grad()
def probed(
    model: HookedModel,
    names: Names,
    stages: Sequence[Stage],
    problem: Problem,
    question: Sequence[int],
) -> dict[str, Activation]:
    """Run one question to its first thought and say what a problem has at every chosen hook.

    Parameters
    ----------
    model
        The model.
    names
        Which hooks. Of those that a function chooses, the ones that have no activation of each
        problem are left out: hooks that are switched off, run over keys, or see whole numbers.
    stages
        The stages that will be recorded; a hook must be called in at least one.
    problem, question
        The question, and its tokens.

    Raises
    ------
    KeyError
        Where there is no such hook, or a function chooses none.
    ValueError
        Where a hook that is named has no activation of each problem, or none is left.
    """
    entries = _entries(names)
    seen: dict[str, dict[Stage, Any]] = {name: {} for name in _chosen(model, entries)}

    def look(name: str, activation: Any, hook: object) -> None:
        assert model.running is not None
        seen[name][model.running.stage] = activation

    with model.hooks([(name, partial(look, name)) for name in seen]), model.unstopped():
        rollout = model.rollout([problem], [question], 1)
        rollout.read()
        rollout.think(0)
        rollout.close()
    wanted = {_first_of_kind(stage) for stage in stages}
    found = {}
    for name, by_stage in seen.items():
        strange = [a for stage, a in by_stage.items() if not _is_vectors(a, stage, rollout.layout)]
        if not strange and wanted & by_stage.keys():
            example = last_column(next(iter(by_stage.values())))[0]
            found[name] = Activation(tuple(example.shape), array_of(example).dtype)
        elif name in entries:
            why = f"it sees {_described(strange[0])}" if strange else "it is not called in them"
            raise ValueError(
                f"{name!r} has no activation of each problem in these stages: {why}. Accepted are "
                "hooks of shape (batch, position, ...), such as 'blocks.0.hook_out'; attention "
                "over keys is recorded by AttentionRecorder."
            )
    if not found:
        raise ValueError(
            "None of the chosen hooks is switched on and has an activation of each problem in "
            "these stages. Choose others, such as 'blocks.0.hook_out'."
        )
    return found


def check_memory(
    activations: Mapping[str, Activation], n_problems: int, n_stages: int, max_bytes: int
) -> None:
    """Raise where the activations of all problems and stages take more memory than allowed.

    Raises
    ------
    MemoryError
        With the memory that they would take.
    """
    per_stage = sum(activation.n_bytes for activation in activations.values())
    n_bytes = per_stage * n_problems * n_stages
    if n_bytes > max_bytes:
        largest = max(activations, key=lambda name: activations[name].n_bytes)
        raise MemoryError(
            f"The activations would take {_size(n_bytes)}, and max_bytes allows "
            f"{_size(max_bytes)}: {n_problems} problems, {n_stages} stages, {len(activations)} "
            f"hooks, of which {largest!r} is the largest. Choose fewer, or raise max_bytes."
        )


def last_column(activation: Tensor) -> Tensor:
    """Return what each problem has at the position that was fed last."""
    return activation if activation.ndim == 2 else activation[:, -1]


def array_of(activation: Tensor) -> np.ndarray:
    """Return an activation outside of any GPU, as float32 unless it is float64."""
    exact = activation.dtype == torch.float64
    return (activation if exact else activation.float()).detach().cpu().numpy()


def _entries(names: Names) -> list[HookName]:
    argument: object = names  # a user may give anything
    if isinstance(names, str) or callable(names) or not isinstance(argument, Iterable):
        return [cast("HookName", names)]  # what is neither name nor function is refused as one
    return list(names)


def _chosen(model: HookedModel, entries: Sequence[HookName]) -> list[str]:
    """Return the chosen names; a function chooses no point twice and none that is switched off."""
    points = {str(point.name): point for point in model.feedback_points} | model.bridge.hook_dict
    chosen: dict[str, HookPoint] = {}
    for entry in entries:
        accepted = chosen_names(entry, list(points), model.name)
        for name in (name for name in points if name in accepted):
            new = points[name] not in chosen.values() and _is_on(model, name, points[name])
            if isinstance(entry, str) or new:
                chosen[name] = points[name]
    return list(chosen)


def _is_on(model: HookedModel, name: str, point: HookPoint) -> bool:
    """Whether TransformerLens calls a hook point, or would have to be told to."""
    try:
        model.bridge.check_hooks_to_add(point, name, print)
    except ValueError:
        return False
    return True


def _first_of_kind(stage: Stage) -> Stage:
    """Return the stage at which a probe sees what a stage will see."""
    match stage:
        case Thought():
            return Thought(0)
        case Answer():
            return Close()
    return stage


def _is_vectors(activation: Any, stage: Stage, layout: Layout) -> bool:
    """Whether one problem's activation is (batch, position, ...), or at a position (batch, ...)."""
    if not isinstance(activation, Tensor) or not activation.is_floating_point():
        return False
    if activation.ndim < 2 or len(activation) != 1:
        return False
    return activation.ndim == 2 or activation.shape[1] == len(layout.columns(stage))


def _described(activation: Any) -> str:
    if not isinstance(activation, Tensor):
        return f"a {type(activation).__name__}"
    return f"{activation.dtype} of shape {tuple(activation.shape)} for one problem"


def _size(n_bytes: int) -> str:
    """Return a number of bytes in words."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes} bytes"
