"""What a sweep found of each model, in numbers that can be set against the models' size."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from cot_attn import stats
from cot_attn.stats.usage import TRAINED
from cot_attn.study import Study
from cot_attn.sweeps.manifest import Manifest
from cot_attn.sweeps.studies import sweep_studies

VALUES = ("estimate", "low", "high", "n_problems")


def model_quantities(folder: str | PathLike[str], **way: Any) -> xr.Dataset:
    """Say of each model of a sweep how accurate, robust and concentrated it is.

    Parameters
    ----------
    folder
        The sweep's folder; every shard must be done.
    **way
        Which seed, site and downstream, where it has several; see `sweep_studies`.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high` and `n_problems` over (model, quantity), with `n_parameters`,
        `n_layers` and the plan's facts along `model`. The quantities: `accuracy`; `failure` (mean
        over thoughts and corruptions) and `failure: LABEL` of each corruption; `importance i` of
        each thought; `importance: effective thoughts` and `attention: effective thoughts` (on how
        many thoughts each gathers; attention's layers averaged); `attention: last less first
        layer` (of its effective number); `correlation` (of attention and importance within
        problems, at the last layer). Where the plan has the experiment "exits": `exits: right
        after i`, the accuracy when the answer is forced after i thoughts, and `exits: thoughts to
        the final answer`, after how many thoughts its value is there for good (it is there at the
        last at the latest, so that nobody is censored). Where it has "usage": `usage: CONDITION`,
        the accuracy under the condition less that as trained. NaN where a model has too few right
        answers for one.
    """
    manifest = Manifest.read(Path(folder))
    table = xr.concat(
        [_of(study) for study in sweep_studies(folder, **way)], dim="model", join="outer"
    )
    columns: dict[str, list[Any]] = {
        "model": [model.name for model in manifest.models],
        "n_parameters": [model.n_parameters for model in manifest.models],
        "n_layers": [model.n_layers for model in manifest.models],
    }
    names = dict.fromkeys(name for model in manifest.models for name in model.source.facts)
    for name in names:
        columns[name] = [model.source.facts.get(name) for model in manifest.models]
    return table.assign_coords({name: ("model", values) for name, values in columns.items()})


def _of(study: Study) -> xr.Dataset:
    """Return all quantities of one model, over `quantity`."""
    failed = study.effects["failed"]
    shares = stats.concentration_per_problem(study.shares).sel(measure="effective_number")
    first, last = shares.isel(layer=0, drop=True), shares.isel(layer=-1, drop=True)
    by_corruption = stats.mean_over_problems(failed.mean("thought"))
    by_thought = stats.mean_over_problems(study.failure)
    correlation = study.correlations.sel(estimand="within_problem").isel(layer=-1)
    found: dict[str, xr.Dataset] = {
        "accuracy": stats.mean_over_problems(study.effects["baseline_correct"].astype(float)),
        "failure": stats.mean_over_problems(study.failure.mean("thought")),
    }
    for label in by_corruption["corruption"].values:
        found[f"failure: {label}"] = by_corruption.sel(corruption=label)
    for thought in by_thought["thought"].values:
        found[f"importance {thought}"] = by_thought.sel(thought=thought)
    found |= {
        "importance: effective thoughts": stats.importance_concentration(study.failure).sel(
            measure="effective_number"
        ),
        "attention: effective thoughts": stats.mean_over_problems(shares.mean("layer")),
        "attention: last less first layer": stats.mean_over_problems(last - first),
        "correlation": correlation,
    }
    if "exits" in study.experiments:
        found |= _of_exits(study.experiments["exits"])
    if "usage" in study.experiments:
        found |= _of_usage(study.experiments["usage"])
    return _joined(found)


def _of_exits(exits: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return how many answers are right at each exit of training, and when the last one stands."""
    accuracy = stats.exit_accuracy(exits)
    counts = [int(n) for n in accuracy["n_thoughts"].values if n <= exits.attrs["trained_with"]]
    settled = stats.commitment(exits)["stable"].sel(target="final")
    return {
        **{f"exits: right after {n}": accuracy.sel(n_thoughts=n) for n in counts},
        "exits: thoughts to the final answer": stats.mean_over_problems(settled),
    }


def _of_usage(usage: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return what each condition adds to the accuracy, each problem compared with itself."""
    correct = usage["correct"]
    trained = correct.sel(condition=TRAINED, drop=True)
    conditions = [str(each) for each in usage["condition"].values if each != TRAINED]
    return {
        f"usage: {name}": stats.mean_over_problems(correct.sel(condition=name) - trained)
        for name in conditions
    }


def _joined(found: dict[str, xr.Dataset]) -> xr.Dataset:
    parts: Sequence[xr.Dataset] = [
        each.reset_coords(drop=True)[list(VALUES)].astype(float) for each in found.values()
    ]
    joined: xr.Dataset = xr.concat(parts, dim="quantity", combine_attrs="drop_conflicts")
    return joined.assign_coords(quantity=list(found))
