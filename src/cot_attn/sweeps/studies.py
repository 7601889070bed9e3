"""A sweep's results as studies, for everything that takes a `Study`: tables, figures, reports."""

from collections.abc import Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cot_attn.interventions.corruption import label as label_of
from cot_attn.recording.places import VALUE
from cot_attn.study import Study
from cot_attn.study.running import in_python
from cot_attn.sweeps.manifest import Manifest, PlannedModel, Shard
from cot_attn.sweeps.shard_file import finished, path_of, read_shard

WAYS = ("seed", "site", "downstream")


def sweep_studies(
    folder: str | PathLike[str],
    *,
    seed: int | None = None,
    site: str | None = None,
    downstream: str | None = None,
    query: str = VALUE,
) -> list[Study]:
    """Return a sweep's results as studies, one of each model, as `run_study` gives them.

    Parameters
    ----------
    folder
        The sweep's folder; every shard of the chosen ways must be done.
    seed, site, downstream
        Which of the sweep's, where it has several.
    query
        The position whose attention is set against importance; see `run_study`.

    Raises
    ------
    ValueError
        Where the sweep did not record attention, has several of what was not chosen, or shards of
        it are missing or damaged.
    """
    manifest = Manifest.read(Path(folder))
    if not manifest.settings["attention"]:
        raise ValueError(
            f"{folder} has no attention (attention = false), and a study needs it. `open_sweep` "
            "gives the effects."
        )
    choices: dict[str, Any] = {"seed": seed, "site": site, "downstream": downstream}
    way = {name: _chosen(manifest, name, choices[name]) for name in WAYS}
    needed = [
        shard
        for shard in manifest.shards
        if shard.measure == "attention"
        or (shard.measure == "effects" and all(getattr(shard, n) == way[n] for n in WAYS))
        or (shard.measure == "experiment" and shard.seed == way["seed"])
    ]
    missing = {shard.name for shard in needed} - finished(manifest.folder)
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(needed)} shards that these studies need have no result. "
            "Resume the sweep first."
        )
    return [_study(manifest, model, needed, query) for model in manifest.models]


def _chosen(manifest: Manifest, name: str, choice: Any) -> Any:
    accepted = list(dict.fromkeys(getattr(s, name) for s in manifest.shards if s.site is not None))
    if choice is None and len(accepted) == 1:
        return accepted[0]
    if choice not in accepted:
        raise ValueError(f"{name} is {choice!r}; this sweep has {accepted}. Choose one of them.")
    return choice


def _study(manifest: Manifest, model: PlannedModel, needed: Sequence[Shard], query: str) -> Study:
    mine = [shard for shard in needed if shard.model == model.name]
    of = {
        measure: [shard for shard in mine if shard.measure == measure]
        for measure in ("attention", "effects")
    }
    attention = _joined([read_shard(manifest.folder, shard.name) for shard in of["attention"]])
    parts = [read_shard(manifest.folder, shard.name) for shard in of["effects"]]
    effects = _joined(parts).assign_attrs(_attrs_of_all(parts))
    made = [path_of(manifest.folder, shard.name).stat().st_mtime for shard in mine]
    where = {name: attention.attrs[name] for name in ("device", "python", "versions")}
    experiments = {
        shard.experiment: read_shard(manifest.folder, shard.name)
        for shard in mine
        if shard.experiment is not None
    }
    problems = tuple(manifest.problems)
    settings = {
        "model": model.name,
        "checkpoint": model.identity["checkpoint"],
        "dtype": model.identity["dtype"],
        "n_thoughts": model.identity["n_thoughts"],
        "n_layers": model.n_layers,
        "n_problems": len(problems),
        "dataset": sorted({problem.dataset or "unnamed" for problem in problems}),
        "source": {"name_or_path": model.source.source, **model.source.options},
        "corruptions": [label_of(each) for each in manifest.corruptions],
        "corruptions_in_python": [in_python(each) for each in manifest.corruptions],
        "site": of["effects"][0].site,
        "downstream": of["effects"][0].downstream,
        "query": query,
        "readouts": False,
        "experiments": list(experiments),
        "seed": of["effects"][0].seed,
        "max_new_tokens": manifest.settings["max_new_tokens"],
        "started": datetime.fromtimestamp(min(made), UTC).isoformat(timespec="seconds"),
        "seconds": round(max(made) - min(made), 1),
        **where,
    }
    of_the_shard = ("shard", "device", "python", "versions")
    for each in (attention, effects, *experiments.values()):
        for name in of_the_shard:
            each.attrs.pop(name, None)
    return Study(attention, effects, problems, settings, experiments=experiments)


def _joined(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join shards along their problems, which are cut without a gap."""
    if len(parts) == 1:
        return parts[0]
    joined: xr.Dataset = xr.concat(
        parts,
        dim="problem",
        data_vars="minimal",
        coords="minimal",
        join="exact",
        compat="equals",
        combine_attrs="override",
    )
    return joined


def _attrs_of_all(parts: Sequence[xr.Dataset]) -> dict[str, Any]:
    """Return what is said of all problems, from what is said of some."""
    floors = [part.attrs["noise_floor"] for part in parts]
    floor = {
        name: float(np.fmax.reduce([float(each[name]) for each in floors])) for name in floors[0]
    }
    squares = [part.attrs["thought_rms"] ** 2 * part.sizes["problem"] for part in parts]
    n = sum(part.sizes["problem"] for part in parts)
    rms = parts[0].attrs["thought_rms"] if len(parts) == 1 else float(np.sqrt(sum(squares) / n))
    wrong = sum(part.attrs["n_baseline_wrong"] for part in parts)
    return {"noise_floor": floor, "thought_rms": rms, "n_baseline_wrong": wrong}
