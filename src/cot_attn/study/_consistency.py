"""Whether the parts of a study belong together: ids, dimensions, variables and settings."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import xarray as xr

from cot_attn.data.problem import Problem
from cot_attn.recording.attention import DIMS

REQUIRED: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "checkpoint": (str,),
    "dtype": (str,),
    "n_thoughts": (int,),
    "n_layers": (int,),
    "n_problems": (int,),
    "dataset": (list,),
    "corruptions": (list,),
    "site": (str,),
    "downstream": (str,),
    "query": (str,),
    "seed": (int,),
    "max_new_tokens": (int,),
    "started": (str,),
    "seconds": (int, float),
    "device": (str,),
    "python": (str,),
    "versions": (dict,),
}
"""Settings without which a study cannot be reported, and their types."""
EFFECT_DIMS = ("problem", "thought", "corruption")
COORDINATES = {
    "attention": (*DIMS, "difficulty", "question_length", "correct"),
    "effects": (*EFFECT_DIMS, "difficulty", "question_length", "baseline_correct"),
}


LENS = {
    "rank": ("problem", "layer", "place", "target"),
    "baseline_rank": ("problem", "layer", "place", "target", "other"),
    "fed_rank": ("problem", "thought", "target"),
    "fed_baseline_rank": ("problem", "thought", "target", "other"),
}


def inconsistency(
    attention: xr.Dataset,
    effects: xr.Dataset,
    problems: Sequence[Problem],
    settings: Mapping[str, Any],
    readouts: xr.Dataset | None,
    experiments: Mapping[str, xr.Dataset],
) -> str | None:
    """Return in words the first thing in which a study's parts contradict each other, or None."""
    found = chain(
        _all(attention, effects, problems, settings),
        _of_readouts(readouts, problems, settings),
        _of_experiments(experiments, problems, settings),
    )
    return next(found, None)


def _of_experiments(
    experiments: Mapping[str, xr.Dataset], problems: Sequence[Problem], settings: Mapping[str, Any]
) -> Iterator[str]:
    asked = settings.get("experiments", [])
    if not isinstance(asked, list) or sorted(map(str, asked)) != sorted(experiments):
        yield f"the experiments are {sorted(experiments)}, the settings say {asked!r}"
    ids = {problem.id for problem in problems}
    for name, found in experiments.items():
        dim = "problem" if "problem" in found.coords else "base"
        others = {str(each) for each in found[dim].values} - ids if dim in found.coords else {dim}
        if others:
            yield f"the experiment {name} is not about the study's problems"
        for key in ("checkpoint", "seed", "n_thoughts", "max_new_tokens"):
            said, made = found.attrs.get(key, settings[key]), settings[key]
            if said != made:
                yield f"the experiment {name} says {key} {said!r}, the settings {made!r}"


def _all(
    attention: xr.Dataset,
    effects: xr.Dataset,
    problems: Sequence[Problem],
    settings: Mapping[str, Any],
) -> Iterator[str]:
    """Yield contradictions; each look relies on the ones before it having found none."""
    yield from _of_settings(settings)
    yield from _of_shape("attention", attention, "attention", DIMS)
    yield from _of_shape("effects", effects, "failed", EFFECT_DIMS)
    ids = sorted(problem.id for problem in problems)
    for name, dataset in (("attention", attention), ("effects", effects)):
        if sorted(map(str, dataset["problem"].values)) != ids:
            yield f"the problems of the {name} are not those of the study"
        for key in ("checkpoint", "site", "downstream", "seed", "n_thoughts", "max_new_tokens"):
            if dataset.attrs.get(key, settings[key]) != settings[key]:
                yield f"the {name} say {key} {dataset.attrs[key]!r}, the settings {settings[key]!r}"
    layers = attention["layer"].values.tolist()
    last = settings["n_layers"] - 1
    thoughts = list(range(settings["n_thoughts"]))
    keys = [key for key in attention["key"].values if str(key).startswith("thought ")]
    for holds, what in (
        (len(problems) == settings["n_problems"], f"there are {len(problems)} problems"),
        (all(0 <= layer <= last for layer in layers), f"the layers are {layers}"),
        (effects["thought"].values.tolist() == thoughts, "the effects have other thoughts"),
        (keys == [f"thought {i}" for i in thoughts], "the attention has other thoughts"),
        (
            effects["corruption"].values.tolist() == settings["corruptions"],
            "the effects have other corruptions",
        ),
        (settings["query"] in attention["query"].values, "the attention lacks the query"),
    ):
        if not holds:
            yield f"{what}, which is not what the settings say"
    right = effects["baseline_correct"]
    if right.dtype != bool:
        yield f"baseline_correct is of type {right.dtype}"
    ran = effects["failed"].notnull()
    expected = right
    if "n_thoughts" in effects.coords:  # with a stop rule, some of it may not be there
        expected = ran & right & (effects["thought"] < effects["n_thoughts"])
    if not (ran == expected).all() or not effects["failed"].isin([0, 1]).where(ran, True).all():
        yield "failed is not 0 or 1 where the baseline is right and NaN where it is wrong"


def _of_readouts(
    readouts: xr.Dataset | None, problems: Sequence[Problem], settings: Mapping[str, Any]
) -> Iterator[str]:
    asked = settings.get("readouts", False)
    if (readouts is not None) != bool(asked):
        yield f"there {'are no' if asked else 'are'} readouts, which is not what the settings say"
    if readouts is None:
        return
    for name, dims in LENS.items():
        if name not in readouts.data_vars:
            yield f"the readouts have no variable {name!r}"
        elif readouts[name].dims != dims:
            yield f"{name} has the dimensions {readouts[name].dims}"
    if "correct" not in readouts.coords or readouts["correct"].dims != ("problem",):
        yield "the readouts do not say which answers were right"
    if sorted(map(str, readouts["problem"].values)) != sorted(problem.id for problem in problems):
        yield "the problems of the readouts are not those of the study"
    if readouts.attrs.get("checkpoint", settings["checkpoint"]) != settings["checkpoint"]:
        yield "the readouts are of another checkpoint"


def _of_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, types in REQUIRED.items():
        if name not in settings:
            yield f"the settings have no {name}"
        elif not isinstance(settings[name], types) or isinstance(settings[name], bool):
            yield f"the setting {name} is {settings[name]!r}"
    for name in ("dataset", "corruptions"):
        if not all(isinstance(each, str) for each in settings[name]):
            yield f"the setting {name} is {settings[name]!r}"


def _of_shape(
    name: str, dataset: xr.Dataset, variable: str, dims: tuple[str, ...]
) -> Iterator[str]:
    if variable not in dataset.data_vars:
        yield f"the {name} have no variable {variable!r}"
    for each, array in dataset.data_vars.items():
        if array.dims[: len(dims)] != dims or (each == variable and array.dims != dims):
            yield f"{each} has the dimensions {array.dims}"
    if not np.issubdtype(dataset[variable].dtype, np.floating):
        yield f"{variable} is of type {dataset[variable].dtype}"
    for coordinate in COORDINATES[name]:
        if coordinate not in dataset.coords:
            yield f"the {name} have no coordinate {coordinate!r}"
        elif coordinate in dims:
            if not dataset.indexes[coordinate].is_unique:
                yield f"the {name} have a {coordinate} twice"
        elif dataset[coordinate].dims != ("problem",):
            yield f"the coordinate {coordinate} has the dimensions {dataset[coordinate].dims}"
