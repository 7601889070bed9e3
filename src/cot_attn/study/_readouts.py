"""What a study keeps of the words that a lens reads in its states."""

from collections.abc import Sequence

import xarray as xr

from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.readouts.lens import check_lens, logit_lens
from cot_attn.readouts.targets import target_texts
from cot_attn.study._lens import FED, RANKS


def check_readable(model: ContinuousThoughtModel, problems: Sequence[Problem]) -> None:
    """Raise where a lens could not read a model's states for what these problems come to."""
    check_lens(model, problems, targets_of(problems))


def read_states(
    model: ContinuousThoughtModel, states: xr.Dataset, problems: Sequence[Problem]
) -> xr.Dataset:
    """Return the ranks of the steps' results, or of the answer, in states and in what was fed.

    Returns
    -------
    xr.Dataset
        `rank` and `baseline_rank` over (problem, layer, place, target[, other]), `fed_rank` and
        `fed_baseline_rank` over (problem, thought, target[, other]), and `text`, as `logit_lens`
        gives them.
    """
    targets = targets_of(problems)
    hidden = logit_lens(model, states, problems, targets)
    fed = logit_lens(model, states, problems, targets, space="fed")
    kept = hidden[["text", *RANKS]].drop_vars("question")
    return kept.assign({FED + name: fed[name].reset_coords(drop=True) for name in RANKS}).map(
        _small, keep_attrs=True
    )


def targets_of(problems: Sequence[Problem]) -> str:
    """Return what is looked for: the steps where any has a value, else the answer."""
    try:
        target_texts(problems, "steps")
    except ValueError:
        return "answer"
    return "steps"


def _small(array: xr.DataArray) -> xr.DataArray:
    return array if array.dtype == object else array.astype("float32")
