"""Studies of several models side by side, if they were treated alike."""

from collections.abc import Iterable

import pandas as pd
import xarray as xr

from cot_attn.study.results import Study

TREATMENT = ("corruptions", "site", "downstream", "query", "n_thoughts", "seed", "max_new_tokens")


def compare(studies: Iterable[Study]) -> xr.Dataset:
    """Join studies along a `model` dimension.

    Parameters
    ----------
    studies
        Studies of different models with the same problems, corruptions, site, downstream, query
        and seed.

    Returns
    -------
    xr.Dataset
        `failed` (model, problem, thought, corruption), `share` and `sequence_attention` (model,
        problem, layer, thought; mean over heads; NaN at layers that a model does not have), with
        `depth` (model, layer), the relative depth from 0 (first layer) to 1 (last), and
        `baseline_correct` (model, problem).

    Raises
    ------
    TypeError
        Where one study stands in the place of a list.
    ValueError
        Where there are fewer than two, a model occurs twice, or the studies were not made alike:
        what differs between models would not be due to the models alone.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems, run_study
    >>> problems = load_problems("toy", n=6)
    >>> models = map(ContinuousThoughtModel.from_pretrained, ["toy-gpt2", "toy-llama"])
    >>> together = compare([run_study(model, problems, corruptions="zero") for model in models])
    >>> together["failed"].mean(["problem", "corruption"]).sizes
    Frozen({'model': 2, 'thought': 6})
    """
    if isinstance(studies, Study):
        raise TypeError("compare was given one study; give a list of several, as in [one, other].")
    chosen = list(studies)
    if len(chosen) < 2:
        raise ValueError(f"There are {len(chosen)} studies; give at least two.")
    names = [study.name for study in chosen]
    if len(set(names)) < len(names):
        raise ValueError(f"The models are called {names}. Give every study another model.")
    for study in chosen[1:]:
        _check_alike(chosen[0], study)
    datasets = [_one(study, chosen[0]) for study in chosen]
    by_model = pd.Index(names, name="model")
    joined = xr.concat(
        datasets, dim=by_model, join="outer", data_vars="all", coords=["depth", "baseline_correct"]
    )
    first = chosen[0].settings
    return joined.assign_attrs({name: first[name] for name in TREATMENT})


def _one(study: Study, order: Study) -> xr.Dataset:
    last = max(int(study.settings["n_layers"]) - 1, 1)
    layers = study.attention["layer"]
    ids = order.effects["problem"].values
    effects = study.effects.sel(problem=ids)
    return (
        xr.Dataset(
            {
                "failed": effects["failed"].reset_coords(drop=True),
                "share": study.shares.sel(problem=ids).reset_coords(drop=True),
                "sequence_attention": study.sequence_attention.sel(problem=ids).reset_coords(
                    drop=True
                ),
                "depth": ("layer", layers.values / last),
                "baseline_correct": effects["baseline_correct"].reset_coords(drop=True),
            }
        )
        .assign_coords(difficulty=effects["difficulty"].reset_coords(drop=True))
        .set_coords(["depth", "baseline_correct"])
    )


def _check_alike(one: Study, other: Study) -> None:
    ids, others = ({p.id: p.question for p in study.problems} for study in (one, other))
    if ids != others:
        missing = len(ids.keys() ^ others.keys())
        raise ValueError(
            f"{one.name} and {other.name} were asked different problems ({missing} ids are in one "
            "study only). Run both on the same problems."
        )
    for name in TREATMENT:
        here, there = one.settings[name], other.settings[name]
        if here != there:
            raise ValueError(
                f"{one.name} and {other.name} were treated differently: {name} is {here!r} and "
                f"{there!r}. What differs between them would not be due to the models alone; run "
                "both in the same way."
            )
