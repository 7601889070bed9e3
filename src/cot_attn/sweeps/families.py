"""A sweep over families of toy models, as `make ladder` trains them."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from cot_attn.data import Problem
from cot_attn.sweeps.plan import ModelSource, Plan
from cot_attn.toy.ladder import ROWS, Row, models


def ladder_plan(
    folder: str | PathLike[str],
    problems: Sequence[Problem],
    row: Row = "equal-steps",
    **how: Any,
) -> Plan:
    """Plan a sweep over the models of a ladder.

    Parameters
    ----------
    folder
        Where `make ladder` keeps them.
    problems
        What they are asked, for instance `load_problems("toy", n=300)`.
    row
        `equal-steps`: as they were after all training steps; `equal-accuracy`: as they were when
        their held-out accuracy first reached the threshold, without those that never did.
    how
        Other arguments of `Plan`.

    Returns
    -------
    Plan
        Along `model` its results have the facts `family`, `d_model`, `training_seed`, `steps` and
        `trained_accuracy` (held-out, mean over numbers of steps).

    Raises
    ------
    FileNotFoundError
        Where no model of that row is finished.
    """
    if row not in ROWS:
        raise ValueError(f"row is {row!r}; accepted: {', '.join(ROWS)}.")
    names = ("family", "d_model", "training_seed", "steps")
    sources = [
        ModelSource(
            str(place.absolute()),
            name,
            facts={**{each: facts[each] for each in names}, "trained_accuracy": facts["accuracy"]},
        )
        for name, place, facts in models(Path(folder), row)
    ]
    if not sources:
        raise FileNotFoundError(
            f"No model of the row {row} is finished in {folder}. Train some: make ladder."
        )
    return Plan(sources, problems, **{"max_new_tokens": 8, **how})
