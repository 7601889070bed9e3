"""From a plan to a manifest: every model is loaded once and asked whether it can do its part."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count, product
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from cot_attn.data import save_problems
from cot_attn.interventions import Downstream, TokenAblator
from cot_attn.interventions.intervention import check_interventions
from cot_attn.interventions.outcomes import check_outcomes
from cot_attn.models import ContinuousThoughtModel
from cot_attn.recording import AttentionRecorder
from cot_attn.study._experiments import check_experiments
from cot_attn.sweeps.described import described
from cot_attn.sweeps.manifest import (
    FILE,
    PROBLEMS,
    Manifest,
    Measure,
    PlannedModel,
    Shard,
    content_hash,
    file_hash,
)
from cot_attn.sweeps.models import identity, loaded, n_parameters
from cot_attn.sweeps.plan import ModelSource, Plan


def plan_sweep(plan: Plan, folder: str | PathLike[str]) -> Manifest:
    """Check a plan, and write down all that it comes to; nothing is measured yet.

    Each model is loaded once, one at a time, so that hours of work do not end with what could be
    known before, and so that a checkpoint that changes later is noticed.

    Parameters
    ----------
    plan
        What is to be measured.
    folder
        A folder that is new or empty, or holds this very sweep, which is then left as it is.

    Returns
    -------
    Manifest
        The sweep, in shards with content hashes.

    Raises
    ------
    FileExistsError
        Where the folder has something else in it.
    ValueError
        Where a model does not load or cannot be measured in this way, or two have one name.
    """
    target = Path(folder)
    before = _planned_before(target)
    check_outcomes(plan.outcomes)
    if "failed" not in plan.outcomes:
        raise ValueError(f"outcomes is {list(plan.outcomes)}; a sweep needs 'failed' among them.")
    settings = {
        "corruptions": [described(each) for each in plan.corruptions],
        "sites": [described(each) for each in plan.sites],
        "downstream": list(plan.downstream),
        "seeds": list(plan.seeds),
        "outcomes": list(plan.outcomes),
        "attention": plan.attention,
        "layers": None if plan.layers is None else list(plan.layers),
        "experiments": list(plan.experiments),
        "max_new_tokens": plan.max_new_tokens,
        "batch_size": plan.batch_size,
        "problems_per_shard": plan.problems_per_shard,
    }
    models = tuple(_checked(source, plan) for source in plan.models)
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{names.count(name)} models are called {name!r}. Results are joined by name: give "
                "them names of their own, name = '...'."
            )
    problems = list(plan.problems)
    with TemporaryDirectory() as place:
        save_problems(problems, file := Path(place) / PROBLEMS)
        sha256, rows = file_hash(file), file.read_text(encoding="utf-8").splitlines()
    manifest = Manifest(
        folder=target,
        models=models,
        settings=settings,
        shards=tuple(_shards(plan, models, settings, rows)),
        cot_attn=version("cot-attn"),
        problems_sha256=sha256,
    )
    if before is None:
        manifest.write(problems)
    elif before.hash != manifest.hash:
        raise FileExistsError(
            f"{target} holds another sweep: it differs in {_difference(before, manifest)}. Nothing "
            "was changed there. Give another folder."
        )
    return manifest


def _planned_before(folder: Path) -> Manifest | None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / FILE).is_file():
        raise FileExistsError(f"{folder} is not empty and is no sweep. Give a folder that is new.")
    return Manifest.read(folder)


def _checked(source: ModelSource, plan: Plan) -> PlannedModel:
    """Load a model and raise what it would raise hours later."""
    model = loaded(source)
    try:
        if not model.n_thoughts:
            raise ValueError("It thinks 0 thoughts, so there is none to corrupt.")
        model.encode(plan.problems, max_new_tokens=plan.max_new_tokens)
        AttentionRecorder(model, plan.layers)
        for site, downstream in product(plan.sites, plan.downstream):
            ablator = TokenAblator(model, plan.corruptions, site, downstream)
            check_interventions(ablator.interventions, model)
        for seed in plan.seeds:
            check_experiments(plan.experiments, model, plan.problems, plan.max_new_tokens, seed)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{source.source} cannot be measured in this way: {error.args[0]}"
        ) from error
    return PlannedModel(
        source=source,
        name=source.name or model.name,
        identity=identity(model),
        n_layers=model.n_layers,
        n_parameters=n_parameters(model),
    )


def _shards(
    plan: Plan,
    models: tuple[PlannedModel, ...],
    settings: dict[str, object],
    rows: list[str],
) -> Iterator[Shard]:
    n, size = len(rows), plan.problems_per_shard
    donors = content_hash({"donors": sorted(rows)})
    cut = [(start, min(start + size, n)) for start in range(0, n, size)]
    number = count()
    for model, (measure, seed, site, downstream, experiment) in product(models, _ways(plan)):
        effects, attention = measure == "effects", measure == "attention"
        for start, stop in cut if experiment is None else [(0, n)]:
            depends_on = {
                "cot_attn": version("cot-attn"),
                "model": {"name": model.name, **model.identity},
                "problems": rows[start:stop],
                "way": (measure, seed, site, downstream, experiment),
                "max_new_tokens": plan.max_new_tokens,
                "batch_size": plan.batch_size,
                "donors": donors if effects else None,
                "corruptions": settings["corruptions"] if effects else None,
                "outcomes": settings["outcomes"] if effects else None,
                "layers": settings["layers"] if attention else None,
            }
            name = f"{next(number):05d}-{content_hash(depends_on)[:16]}"
            yield Shard(name, measure, model.name, start, stop, seed, site, downstream, experiment)


Way = tuple[Measure, int | None, str | None, str | None, str | None]
"""What is measured; seed, site, downstream and experiment."""


def _ways(plan: Plan) -> Iterator[Way]:
    """Yield everything that is measured of each model."""
    for seed, site, downstream in product(plan.seeds, plan.sites, plan.downstream):
        yield "effects", seed, site.label, downstream, None
    if plan.attention:
        yield "attention", None, None, None, None
    for seed, experiment in product(plan.seeds, plan.experiments):
        yield "experiment", seed, None, None, experiment


def _difference(one: Manifest, other: Manifest) -> str:
    """Name the first things in which two manifests differ."""
    found = [
        key
        for key in one.settings.keys() | other.settings.keys()
        if one.settings.get(key) != other.settings.get(key)
    ]
    if one.problems_sha256 != other.problems_sha256:
        found.append("problems")
    if one.cot_attn != other.cot_attn:
        found.append("the version of cot-attn")
    here, there = ({model.name: model for model in each.models} for each in (one, other))
    plain = [json.dumps(sorted(each), default=str) for each in (here, there)]
    if plain[0] != plain[1]:
        found.append("models")
    both = here.keys() & there.keys()
    found += [f"the model {name}" for name in both if here[name] != there[name]]
    return ", ".join(sorted(found)) or "its shards"


def ablator_of(manifest: Manifest, shard: Shard, model: ContinuousThoughtModel) -> TokenAblator:
    """Return what corrupts the thoughts of a shard's problems."""
    assert shard.site is not None
    assert shard.seed is not None
    downstream: Downstream = "frozen" if shard.downstream == "frozen" else "recompute"
    site = manifest.sites[shard.site]
    return TokenAblator(model, manifest.corruptions, site, downstream, shard.seed)
