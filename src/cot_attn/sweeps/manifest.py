"""The manifest of a sweep: every shard of it, and everything that the shard's result depends on.

A shard's name ends with a hash over all that, and its result is a file of that name. So whatever
changes (weights, a problem, a number of the plan, the version of this library) makes other names:
results are never mistaken for those of another plan, and none is overwritten.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from cot_attn._writing import saying_what_failed, taking_the_place_of
from cot_attn.data import Problem, load_problems, save_problems
from cot_attn.interventions import Corruption, Site
from cot_attn.sweeps.described import corruptions_of, site_of
from cot_attn.sweeps.plan import ModelSource

FORMAT_VERSION = 2
FILE = "manifest.json"
PROBLEMS = "problems.jsonl"
Measure = Literal["attention", "effects", "experiment"]


@dataclass(frozen=True)
class Shard:
    """Some problems of one model, measured in one way.

    Attributes
    ----------
    name
        Its number and its content hash.
    measure
        `effects` of corruptions; `attention`, which no corruption, site or seed changes; or an
        `experiment`, which compares problems and so has all of them.
    model
        The model's name.
    start, stop
        Which problems, as places in the manifest's list.
    seed, site, downstream
        How thoughts are corrupted; `site` is its label. None for attention; an experiment has a
        seed alone.
    experiment
        The experiment's name.
    """

    name: str
    measure: Measure
    model: str
    start: int
    stop: int
    seed: int | None = None
    site: str | None = None
    downstream: str | None = None
    experiment: str | None = None


@dataclass(frozen=True)
class PlannedModel:
    """A model as it was when the sweep was planned.

    Attributes
    ----------
    source
        Where it comes from, and what is known about it.
    name
        What results call it.
    identity
        What its results depend on: checkpoint hash, type of numbers, thoughts, template,
        architecture, vocabulary.
    n_layers, n_parameters
        Its size.
    """

    source: ModelSource
    name: str
    identity: dict[str, Any]
    n_layers: int
    n_parameters: int


@dataclass(frozen=True)
class Manifest:
    """A sweep, planned: what `plan_sweep` writes and every worker reads.

    Attributes
    ----------
    folder
        Where it lies, with its problems and results.
    models
        The models.
    settings
        How they are measured: corruptions, sites, downstream, seeds, outcomes, layers, experiments
        and numbers, as plain values.
    shards
        Everything that is to be done.
    cot_attn
        The version of this library that planned it.
    problems_sha256
        The SHA-256 of the problems' file.
    """

    folder: Path
    models: tuple[PlannedModel, ...]
    settings: dict[str, Any]
    shards: tuple[Shard, ...]
    cot_attn: str
    problems_sha256: str

    @cached_property
    def problems(self) -> list[Problem]:
        """The problems, in the order in which shards cut them."""
        self.check_problems()
        return load_problems(self.folder / PROBLEMS)

    def check_problems(self) -> None:
        """Raise where the file of the problems is not the one of the plan.

        Raises
        ------
        ValueError
            Where it is another, or is gone.
        """
        file = self.folder / PROBLEMS
        if not file.is_file() or file_hash(file) != self.problems_sha256:
            raise ValueError(
                f"{file} is not the file that this sweep was planned with. Copy it again, or plan "
                "the sweep anew in another folder."
            )

    @property
    def n_problems(self) -> int:
        """How many problems each model is asked."""
        return max(shard.stop for shard in self.shards)

    @cached_property
    def corruptions(self) -> tuple[Corruption, ...]:
        """What replaces thoughts."""
        return corruptions_of(self.settings["corruptions"])

    @cached_property
    def sites(self) -> dict[str, Site]:
        """Where, by label."""
        return {site.label: site for site in map(site_of, self.settings["sites"])}

    @property
    def seeds(self) -> list[int]:
        """The seeds."""
        return list(self.settings["seeds"])

    @cached_property
    def by_name(self) -> dict[str, Shard]:
        """The shards by name."""
        return {shard.name: shard for shard in self.shards}

    @cached_property
    def hash(self) -> str:
        """Return what tells this manifest from any other."""
        return content_hash(self._document())

    def model(self, name: str) -> PlannedModel:
        """Return a model by the name that results call it."""
        return next(model for model in self.models if model.name == name)

    def write(self, problems: list[Problem]) -> None:
        """Write it with its problems; the manifest comes last, so that it is there when all is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_problems(problems, self.folder / PROBLEMS)
        document = self._document()
        text = json.dumps({**document, "sha256": content_hash(document)}, indent=1)
        file = self.folder / FILE
        with saying_what_failed(file), taking_the_place_of(file) as new:
            new.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read a manifest.

        Raises
        ------
        FileNotFoundError
            Where the folder holds none.
        ValueError
            Where it is of another format, is not as it was written, or has a shard twice.
        """
        file = Path(folder) / FILE
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder} is not a sweep: it has no {FILE}. Give a folder that `plan_sweep` or "
                "`cot-attn sweep` wrote."
            )
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            found = document.get("format_version")
        except (ValueError, AttributeError) as error:
            raise _changed(file) from error
        if found != FORMAT_VERSION:
            raise ValueError(
                f"{file} has format version {found}; this cot-attn reads {FORMAT_VERSION}. Use the "
                "cot-attn that planned it, or plan the sweep anew in another folder."
            )
        sha256 = document.pop("sha256", None)
        if sha256 != content_hash(document):
            raise _changed(file)
        names = [shard["name"] for shard in document["shards"]]
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise ValueError(f"{file} has the shard {twice} twice. Plan the sweep anew.")
        return cls(
            folder=Path(folder),
            models=tuple(
                PlannedModel(**{**each, "source": ModelSource(**each["source"])})
                for each in document["models"]
            ),
            settings=document["settings"],
            shards=tuple(Shard(**each) for each in document["shards"]),
            cot_attn=document["cot_attn"],
            problems_sha256=document["problems_sha256"],
        )

    def check_version(self) -> None:
        """Raise where another version of this library planned the sweep."""
        here = version("cot-attn")
        if self.cot_attn != here:
            raise ValueError(
                f"{self.folder} was planned with cot-attn {self.cot_attn}, and this is {here}: "
                "results of two versions are not mixed. Finish it with the former, or plan it anew "
                "in another folder."
            )

    def _document(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "cot_attn": self.cot_attn,
            "problems_sha256": self.problems_sha256,
            "settings": self.settings,
            "models": [asdict(model) for model in self.models],
            "shards": [
                {key: value for key, value in asdict(shard).items() if value is not None}
                for shard in self.shards
            ],
        }


def content_hash(value: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _changed(file: Path) -> ValueError:
    return ValueError(
        f"{file} is not as it was written. Copy it again; a sweep is changed by planning another "
        "one in a folder of its own."
    )
