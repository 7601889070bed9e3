"""Activations at hooks, labelled by problem and stage; memory is stated before it is taken."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from cot_attn.data.problem import Problem
from cot_attn.models._hook_points import HookName, chosen_names
from cot_attn.models.hooks import HookedModel, on_its_own_account
from cot_attn.models.run import Run
from cot_attn.models.stages import (
    Answer,
    Close,
    Layout,
    Prompt,
    Stage,
    Thought,
    stage_label,
    stage_set,
)

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


def chosen_stages(
    stages: Iterable[Stage] | None, n_thoughts: int, max_new_tokens: int
) -> list[Stage]:
    """Return stages in the order of a run; by default all until EOT has been fed.

    Raises
    ------
    TypeError
        Where something is not a stage.
    ValueError
        Where a stage is not part of such a run.
    """
    if stages is None:
        return [Prompt(), *(Thought(index) for index in range(n_thoughts)), Close()]
    layout = Layout((1,), bot_width=1, n_thoughts=n_thoughts, eot_width=1)
    chosen = sorted(stage_set(stages), key=partial(_in_a_run, layout))
    if isinstance(chosen[-1], Answer) and chosen[-1].index + 1 >= max_new_tokens:
        raise ValueError(
            f"There is no stage {chosen[-1]} with max_new_tokens={max_new_tokens}: the last token "
            "of an answer is not fed."
        )
    return chosen


def _in_a_run(layout: Layout, stage: Stage) -> tuple[int, int, int]:
    """Return where a stage comes in a run: the prompt, earlier passes over thoughts, all else."""
    column = layout.columns(stage).start
    match stage:
        case Prompt():
            return (0, 0, 0)
        case Thought(_, int(iteration)):
            return (1, iteration, column)
    return (2, 0, column)


def check_distinct(problems: Sequence[Problem]) -> None:
    """Raise where two problems have one id, which labels their activations."""
    problem, count = Counter(problem.id for problem in problems).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} problems have the id {problem!r}, which labels their activations. Give each "
            "problem once, or each its own id."
        )


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
            example = _last_column(next(iter(by_stage.values())))[0]
            found[name] = Activation(tuple(example.shape), _array(example).dtype)
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


@contextmanager
def recorded(
    model: HookedModel,
    activations: Mapping[str, Activation],
    stages: Sequence[Stage],
    n_problems: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Record while the context lasts, in which all problems run in order, in one batch or several.

    Yields
    ------
    dict
        By hook name an array (problem, stage, ...), filled as the problems run: NaN where a hook
        was not called, or thoughts or answer had ended before the stage.
    """
    arrays = {
        name: np.full((n_problems, len(stages), *each.shape), np.nan, each.dtype)
        for name, each in activations.items()
    }
    places = {stage: index for index, stage in enumerate(stages)}
    n_done = 0

    def keep(name: str, activation: Tensor, hook: object) -> None:
        rollout = model.running
        assert rollout is not None
        rows = slice(n_done, n_done + len(rollout.problems))
        arrays[name][rows, places[rollout.stage]] = _array(_last_column(activation))

    def finish(run: Run) -> None:
        nonlocal n_done
        for stage, index in places.items():
            for row in _without(stage, run):
                for array in arrays.values():
                    array[n_done + row, index] = np.nan
        n_done += len(run.problems)

    hooks = [(name, partial(keep, name)) for name in arrays]
    with model.hooks(hooks, stages=stages), model.watch(finish):
        yield arrays


def labelled(
    model: HookedModel,
    arrays: Mapping[str, np.ndarray],
    stages: Sequence[Stage],
    problems: Sequence[Problem],
) -> xr.Dataset:
    """Return recorded arrays as a dataset, one variable for each hook.

    Returns
    -------
    xr.Dataset
        Dims `problem` and `stage`, then `d_model`, `d_mlp` or `d_vocab` for vectors of these
        widths and `head` (of keys and values `kv_head`, where there are fewer) and `d_head` for
        heads; any other is named after its hook.
    """
    variables = {
        name: (("problem", "stage", *_dims(model, name, array.shape[2:])), array)
        for name, array in arrays.items()
    }
    dataset = xr.Dataset(variables)
    heads = {dim: range(dataset.sizes[dim]) for dim in ("head", "kv_head") if dim in dataset.dims}
    return dataset.assign_coords(
        {
            "problem": [problem.id for problem in problems],
            "stage": [stage_label(stage) for stage in stages],
            **heads,
        }
    )


def _without(stage: Stage, run: Run) -> list[int]:
    """Return the rows whose thoughts or answer had ended before a stage."""
    match stage:
        case Thought(index):
            counts = list(run.n_thoughts)
        case Answer(index):
            counts = [len(tokens) for tokens in run.answer_tokens]
        case _:
            return []
    return [row for row, count in enumerate(counts) if count <= index]


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


def _last_column(activation: Tensor) -> Tensor:
    return activation if activation.ndim == 2 else activation[:, -1]


def _array(activation: Tensor) -> np.ndarray:
    exact = activation.dtype == torch.float64
    return (activation if exact else activation.float()).detach().cpu().numpy()


def _dims(model: HookedModel, name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return what the dimensions of an activation are called."""
    cfg = model.bridge.cfg
    widths = {cfg.d_vocab: "d_vocab", cfg.d_mlp: "d_mlp", cfg.d_model: "d_model"}
    match shape:
        case (width,) if width in widths:
            return (widths[width],)
        case (model.n_heads, cfg.d_head):
            return ("head", "d_head")
        case (n_heads, cfg.d_head) if n_heads * cfg.d_head == model.d_kv:
            return ("kv_head", "d_head")
    return tuple(f"{name} {axis}" for axis in range(len(shape)))


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
