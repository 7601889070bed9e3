"""What a probe learns from: states, labels and groups of the same problems, joined by label."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from sklearn.model_selection import GroupKFold

from cot_attn.readouts._joining import STATES, vectors_of
from cot_attn.readouts._spaces import Space
from cot_attn.readouts.grouping import numbered, question_groups

Labels = xr.DataArray | Mapping[str, Any]
FEWEST = 5
"""Examples of a class without which nothing can be learnt of it."""


@dataclass(frozen=True)
class Examples:
    """States and labels of some problems, which stand in the order of their ids.

    Attributes
    ----------
    vectors
        (problem, layer, place, d_model).
    bot
        States at `bot`, (problem, layer, d_model), or None where they were not recorded.
    labels
        (problem, place): numbers of classes, or values; negative or NaN where there is none.
    classes
        Names of the classes, or None where labels are values.
    groups
        Of each problem; they stay together.
    folds
        In which fold each problem is held out.
    questions
        Their texts, or their ids where there are none.
    """

    vectors: xr.DataArray
    bot: Float[np.ndarray, "problem layer d_model"] | None
    labels: Shaped[np.ndarray, "problem place"]
    classes: list[Any] | None
    groups: Int[np.ndarray, " problem"]
    folds: Int[np.ndarray, " problem"]
    n_folds: int
    questions: list[str]

    @property
    def measure(self) -> str:
        """What probes are measured by."""
        return "r2" if self.classes is None else "accuracy"

    @property
    def labelled(self) -> Bool[np.ndarray, "problem place"]:
        """Which problems have a label at which place."""
        if self.classes is not None:
            return np.asarray(self.labels >= 0)
        return np.asarray(np.isfinite(self.labels))

    def refusal(self, place: int, kept: Bool[np.ndarray, " problem"]) -> str:
        """Say why nothing can be learnt from these problems' labels at a place, if so."""
        labels, n_groups = self.labels[kept, place], len(np.unique(self.groups[kept]))
        if not len(labels):
            return "no problem has both a label and a state here"
        values, counts = np.unique(labels, return_counts=True)
        if len(values) < 2:
            return "all labels are the same"
        if self.classes is not None and counts.min() < FEWEST:
            name = self.classes[int(values[counts.argmin()])]
            return f"class {name!r} has {counts.min()} examples, fewer than {FEWEST}"
        if n_groups < self.n_folds or len(np.unique(self.folds[kept])) < 2:
            return f"{n_groups} groups of problems do not make {self.n_folds} folds; give groups="
        return ""


def examples(
    states: xr.Dataset,
    labels: Labels,
    groups: Labels | None,
    space: Space,
    n_folds: int,
    seed: int,
) -> Examples:
    """Join states, labels and groups by problem id, and part the problems into folds.

    Raises
    ------
    TypeError
        Where labels have no ids.
    ValueError
        Where the ids are not the same, or there would be fewer than two folds.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; give at least 2.")
    argument: object = states
    if not isinstance(argument, xr.Dataset) or not {"state", "fed"} <= set(argument.data_vars):
        raise TypeError(f"states are a {type(argument).__name__}. {STATES}")
    states = states.isel(problem=np.argsort(states["problem"].values.astype(str)))
    vectors = vectors_of(states, space)
    places = vectors["place"].values
    table = _by_place(joined(labels, states, "labels"), places)
    bot = None
    if "bot" in states["place"].values:
        bot = vectors_of(states, "hidden").sel(place="bot").values
    ids = [str(each) for each in states["problem"].values]
    questions = [str(q) for q in states["question"].values] if "question" in states.coords else ids
    coded, classes = _coded(table.values)
    if groups is None:
        together = question_groups(questions)
    else:
        together = numbered(joined(groups, states, "groups").values.astype(str))
    many = len(np.unique(together)) >= n_folds
    folds = folds_of(together, n_folds, seed) if many else np.zeros_like(together)
    return Examples(vectors, bot, coded, classes, together, folds, n_folds, questions)


def joined(labelling: Labels, states: xr.Dataset, what: str) -> xr.DataArray:
    """Bring what was given by problem id into the order of the states."""
    if isinstance(labelling, pd.Series):
        labelling = dict(labelling.items())
    if isinstance(labelling, Mapping):
        ids = np.array(list(labelling), dtype=object)
        values = np.empty(len(ids), dtype=object)
        values[:] = list(labelling.values())
        labelling = xr.DataArray(values, {"problem": ids}, ("problem",))
    found: object = labelling
    if not isinstance(found, xr.DataArray) or "problem" not in found.coords:
        raise TypeError(
            f"{what} are a {type(found).__name__} without problem ids. Give a mapping from problem "
            "id to label, or a DataArray with the dimension 'problem', so that they can be joined."
        )
    ours, theirs = (list(map(str, each["problem"].values)) for each in (states, found))
    lacking = [each for each in ours if each not in set(theirs)]
    unknown = [each for each in theirs if each not in set(ours)]
    if lacking or unknown or len(set(theirs)) < len(theirs):
        repeated = len(theirs) - len(set(theirs))
        raise ValueError(
            f"{what} and states are not of the same problems: {len(lacking)} have states alone "
            f"({', '.join(lacking[:3])}), {len(unknown)} {what} alone ({', '.join(unknown[:3])}), "
            f"and {repeated} are repeated. Give one for each problem of the states, None or '' "
            "where there is none."
        )
    position = {each: index for index, each in enumerate(theirs)}
    return found.isel(problem=[position[each] for each in ours])


def _by_place(labels: xr.DataArray, places: np.ndarray) -> xr.DataArray:
    """Return labels as (problem, place); one that holds everywhere stands at every place."""
    labels = labels.rename(thought="place") if "thought" in labels.dims else labels
    if further := [dim for dim in labels.dims if dim not in ("problem", "place")]:
        raise ValueError(
            f"labels have the dimension {further[0]!r}. Choose one, such as "
            f".sel({further[0]}=...), or give a label for each place."
        )
    if "place" not in labels.dims:
        return labels.expand_dims(place=places, axis=1)
    if set(labels["place"].values) != set(places):
        raise ValueError(
            f"labels are of the places {labels['place'].values.tolist()}, states of "
            f"{places.tolist()}. Select the same: states.sel(place=[...])."
        )
    return labels.sel(place=places).transpose("problem", "place")


def _coded(values: np.ndarray) -> tuple[np.ndarray, list[Any] | None]:
    """Turn labels into numbers of classes, or leave them where they are values."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float64), None
    listed = [each.item() if isinstance(each, np.generic) else each for each in values.flat]
    present_labels = [each for each in listed if not _is_missing(each)]
    if present_labels and all(isinstance(each, float) for each in present_labels):
        plain = [np.nan if _is_missing(each) else each for each in listed]
        return np.array(plain, dtype=np.float64).reshape(values.shape), None
    classes = sorted(set(present_labels), key=lambda each: (str(type(each)), each))
    number = {each: index for index, each in enumerate(classes)}
    coded = [-1 if _is_missing(each) else number[each] for each in listed]
    return np.array(coded, dtype=np.int64).reshape(values.shape), classes


def _is_missing(label: object) -> bool:
    return label is None or label == "" or (isinstance(label, float) and math.isnan(label))


def folds_of(groups: Int[np.ndarray, " problem"], n_folds: int, seed: int) -> Int[np.ndarray, " n"]:
    """Return the fold in which each problem is held out; groups stay together."""
    folds = np.empty(len(groups), dtype=np.int64)
    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(groups, groups=groups)):
        folds[held_out] = number
    return folds
