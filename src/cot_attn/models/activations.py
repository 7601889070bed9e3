"""Activations at hooks, recorded and labelled by problem and stage."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import xarray as xr
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.models._activation_shapes import Activation, array_of, last_column
from cot_attn.models.hooks import HookedModel
from cot_attn.models.layout import Layout
from cot_attn.models.run import Run
from cot_attn.models.stages import Answer, Close, Prompt, Stage, Thought, stage_label, stage_set


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
        arrays[name][rows, places[rollout.stage]] = array_of(last_column(activation))

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
