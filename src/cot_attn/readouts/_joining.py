"""States and problems that belong together, joined by label."""

from collections.abc import Sequence

import xarray as xr

from cot_attn.data.problem import Problem, check_problems
from cot_attn.models.continuous import ContinuousThoughtModel

STATES = "Give what StateRecorder.dataset() returns, or a selection of it."


def of_the_same(
    model: ContinuousThoughtModel, states: xr.Dataset, problems: Sequence[Problem]
) -> list[Problem]:
    """Return the problems in the order of their states.

    Raises
    ------
    TypeError
        Where `states` is no Dataset.
    ValueError
        Where the states are of another model, or of other problems.
    """
    of_this_model(model, states)
    by_id = {problem.id: problem for problem in check_problems(problems)}
    recorded = [str(each) for each in states["problem"].values]
    without_states = [each for each in by_id if each not in set(recorded)]
    without_problem = [each for each in recorded if each not in by_id]
    if without_states or without_problem:
        raise ValueError(
            f"States and problems are not of the same ids: {len(without_problem)} only among the "
            f"states ({', '.join(without_problem[:3])}), {len(without_states)} only among the "
            f"problems ({', '.join(without_states[:3])}). Give the problems that were recorded; "
            "states.sel(problem=[...]) takes some of the states."
        )
    return [by_id[each] for each in recorded]


def of_this_model(model: ContinuousThoughtModel, states: xr.Dataset) -> None:
    """Raise where states are none, or were recorded of a model with other weights."""
    argument: object = states
    if not isinstance(argument, xr.Dataset) or not {"state", "fed"} <= set(argument.data_vars):
        raise TypeError(f"states are a {type(argument).__name__}. {STATES}")
    checkpoint = states.attrs.get("checkpoint", model.checkpoint)
    if checkpoint != model.checkpoint:
        raise ValueError(
            f"These states were recorded of {states.attrs.get('model')} with the weights "
            f"{checkpoint}; {model.name} has {model.checkpoint}. Record them again, or give the "
            "model that they are of."
        )


def vectors_of(states: xr.Dataset, space: str) -> xr.DataArray:
    """Return what a space holds as (problem, layer, place, d_model).

    What was fed has no layer, and thoughts for places.
    """
    if space == "fed":
        fed = states["fed"].drop_vars(["layer", "place"], errors="ignore")
        return fed.expand_dims(layer=[0]).rename(thought="place").transpose(*DIMS)
    missing = [dim for dim in DIMS if dim not in states["state"].dims]
    if missing:
        raise ValueError(
            f"states have the dimensions {states['state'].dims}, without {missing}. Select with "
            "lists, such as .sel(layer=[3]), so that dimensions stay."
        )
    return states["state"].transpose(*DIMS)


DIMS = ("problem", "layer", "place", "d_model")
