"""The models that one command studies: loaded and checked before the first of them runs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from cot_attn.checkpoints.bundled import bundled_models
from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.study._export import write_summary
from cot_attn.study._naming import distinct_names, file_name
from cot_attn.study.results import Study
from cot_attn.study.running import check_study, run_study


@dataclass
class Entrant:
    """A model that is to be studied.

    Attributes
    ----------
    name_or_path
        Its bundled name, hub id or path.
    device
        Where it runs.
    name
        What results call it; no other in the line-up is called so.
    identity
        What its results depend on: weights, settings, and where they came from.
    """

    name_or_path: str
    device: str
    name: str
    identity: dict[str, Any]
    _loaded: ContinuousThoughtModel | None = None

    def study(
        self,
        problems: Sequence[Problem],
        how: Mapping[str, Any],
        folder: Path,
        *,
        batch_size: int | None,
        resume: PathLike[str],
    ) -> Study:
        """Run the study and write it into its folder inside `folder`, and return it as it is read.

        One that an earlier process of the same request has written whole is taken as it is.
        """
        target = folder / file_name(self.name)
        study = _written(target)
        if study is None:
            run_study(self.model(), problems, **how, batch_size=batch_size, resume=resume).save(
                target
            )
            study = Study.load(target)
        write_summary(study, target)
        return study

    def model(self) -> ContinuousThoughtModel:
        """Return the model by its name; it is loaded unless it was at hand, and not kept here."""
        model, self._loaded = self._loaded, None
        if model is None:
            model = ContinuousThoughtModel.from_pretrained(self.name_or_path, device=self.device)
        model.name = self.name
        return model


def line_up(
    models: Sequence[str], device: str, problems: Sequence[Problem], how: Mapping[str, Any]
) -> list[Entrant]:
    """Load and check every model, so that nothing is found out after hours of work.

    One model is in memory at a time; the first stays, as it is the first to run.

    Parameters
    ----------
    models
        Bundled names, hub ids or paths.
    device
        Where they run.
    problems
        What they will be asked.
    how
        The other arguments of `run_study`, but for `resume`.

    Raises
    ------
    ValueError
        Where a model is given twice, does not load, cannot be studied in this way, or thinks
        another number of thoughts than the others.
    """
    places = [_place(name_or_path) for name_or_path in models]
    for index, place in enumerate(places):
        if place in places[:index]:
            other = models[places.index(place)]
            raise ValueError(f"{models[index]} is the same model as {other}. Give each once.")
    entrants: list[Entrant] = []
    for name_or_path in reversed(models):
        for earlier in entrants:
            earlier._loaded = None
        model = ContinuousThoughtModel.from_pretrained(name_or_path, device=device)
        check_study(model, problems, **how)
        source = model.source
        assert source is not None
        identity = {**model.provenance(), "source": source, "n_thoughts": model.n_thoughts}
        entrants.insert(0, Entrant(name_or_path, device, model.name, identity, model))
    first = entrants[0]
    for entrant in entrants[1:]:
        here, there = first.identity["n_thoughts"], entrant.identity["n_thoughts"]
        if here != there:
            raise ValueError(
                f"{first.name_or_path} thinks {here} thoughts and {entrant.name_or_path} "
                f"{there}, so they cannot stand side by side. Study each with a command of its own."
            )
    origins = [entrant.identity["source"]["name_or_path"] for entrant in entrants]
    names = distinct_names([entrant.name for entrant in entrants], origins)
    for entrant, name in zip(entrants, names, strict=True):
        entrant.name = entrant.identity["model"] = name
    return entrants


def _written(folder: Path) -> Study | None:
    """Return the study in a folder, or None where there is none or it is damaged."""
    try:
        return Study.load(folder)
    except (ValueError, OSError):
        return None


def _place(name_or_path: str) -> str:
    """Return what is the same for two ways of writing one model: its folder, or its hub id."""
    path = bundled_models().get(name_or_path, Path(name_or_path).expanduser())
    return os.path.realpath(path) if path.exists() else name_or_path
