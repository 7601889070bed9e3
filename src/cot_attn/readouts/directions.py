"""Directions along which a label moves the states, each with the problems it has not seen."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.readouts._cells import Cell
from cot_attn.readouts._examples import Labels, examples
from cot_attn.readouts._spaces import Space


def label_directions(
    states: xr.Dataset,
    labels: Labels,
    *,
    space: Space = "hidden",
    groups: Labels | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> xr.Dataset:
    """Say how states move with a label: for each fold, from the problems outside of it.

    Of a class, the mean state less that of all other problems; of a value, the slope of the states
    on it. Added to a state, it is what the label would have moved. It is not what a probe reads
    with, whose weights also undo what else moves (Haufe et al. 2014, "On the interpretation of
    weight vectors of linear models in multivariate neuroimaging", NeuroImage 87).

    Parameters
    ----------
    states, labels, space, groups, n_folds, seed
        As in `probe`; the folds are the same.

    Returns
    -------
    xr.Dataset
        `direction` (fold, layer, place, label, d_model), or without `layer` and with `thought` in
        the space "fed". Labels are the classes, or "value". NaN where the problems outside a fold
        do not have a label, or all have it. `held_out` (problem) is the fold that a problem is in:
        the direction of that fold has seen neither it nor its like, so test it there and nowhere
        else.

    Raises
    ------
    TypeError, ValueError
        Where labels are not of these problems, by id, or there are fewer groups than folds.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, StateRecorder, load_problems
    >>> from cot_attn.readouts import label_directions
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=60, difficulties=[2])
    >>> with StateRecorder(model, layers=[-1], places=["thought 1"]) as recorder:
    ...     run = model.run(problems, max_new_tokens=8)
    >>> even = {problem.id: int(problem.answer) % 2 == 0 for problem in problems}
    >>> found = label_directions(recorder.dataset(), even)
    >>> mine = found.direction.sel(fold=found.held_out.sel(problem=problems[0].id), label=True)
    >>> dict(mine.sizes)
    {'layer': 1, 'place': 1, 'd_model': 96}
    """
    samples = examples(states, labels, groups, space, n_folds, seed)
    n_groups = len(np.unique(samples.groups))
    if n_groups < n_folds:
        raise ValueError(
            f"{n_groups} groups of problems do not make {n_folds} folds. Give more problems, fewer "
            "n_folds=, or your own groups=."
        )
    vectors = samples.vectors
    names = np.array(["value"] if samples.classes is None else samples.classes)
    shape = (n_folds, *vectors.shape[1:3], len(names), vectors.shape[3])
    directions = np.full(shape, np.nan)
    for layer, place in np.ndindex(shape[1:3]):
        cell = Cell.of(samples, vectors.values[:, layer, place], place)
        columns = cell.labels[:, None]
        if samples.classes is not None:
            columns = columns == np.arange(len(names))
        for fold in range(n_folds):
            seen = cell.folds != fold
            directions[fold, layer, place] = _slopes(cell.states[seen], columns[seen].astype(float))
    dims = ("fold", "layer", "place", "label", "d_model")
    result = xr.Dataset(
        {"direction": (dims, directions), "held_out": ("problem", samples.folds)},
        coords={
            "fold": range(n_folds),
            "layer": vectors["layer"].values,
            "place": vectors["place"].values,
            "label": names,
            "problem": vectors["problem"].values,
        },
        attrs={**states.attrs, "space": space, "n_folds": n_folds, "seed": seed},
    )
    if space == "fed":
        return result.isel(layer=0, drop=True).rename(place="thought")
    return result


def _slopes(
    states: Float[np.ndarray, "n d_model"], columns: Float[np.ndarray, "n label"]
) -> Float[np.ndarray, "label d_model"]:
    """Return the slopes of states on each column; on 1 and 0 they are differences of means."""
    if not len(states):
        return np.full((columns.shape[1], states.shape[1]), np.nan)
    centred = columns - columns.mean(axis=0)
    squares = (centred**2).sum(axis=0)[:, None]
    slopes: Float[np.ndarray, "label d_model"] = centred.T @ (states - states.mean(axis=0))
    return slopes / np.where(squares > 0, squares, np.nan)
