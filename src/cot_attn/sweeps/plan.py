"""What a sweep is to measure, as a person writes it down: in Python, or in a TOML file."""

import dataclasses
import inspect
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from cot_attn.data import Problem, check_problems, load_problems
from cot_attn.interventions import CCTA, Corruption, Downstream, Site
from cot_attn.interventions.outcomes import STUDIED
from cot_attn.models import ContinuousThoughtModel
from cot_attn.sweeps.described import Described, corruptions_of, site_of

Fact = str | int | float | bool
RESERVED = (
    *("model", "seed", "site", "downstream", "problem", "thought", "corruption", "layer", "head"),
    *("query", "key", "checkpoint", "n_thoughts", "n_layers", "n_parameters", "difficulty"),
)
"""Names of results' own dimensions and coordinates."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from, and what is known about it.

    Parameters
    ----------
    source
        A bundled name, a hub id, or a path.
    name
        What results call it; by default its own name.
    options
        Other arguments of `ContinuousThoughtModel.from_pretrained`, but for the device.
    facts
        What is known about it (its family, its training seed, its size): coordinates along
        `model` in the results.
    """

    source: str
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        accepted = inspect.signature(ContinuousThoughtModel.from_pretrained).parameters
        _refuse_unknown(
            self.options, set(accepted) - {"name_or_path", "device"}, f"model {self.source!r}"
        )
        for name, fact in self.facts.items():
            if name in RESERVED:
                raise ValueError(
                    f"The fact {name!r} about model {self.source!r} has a name that results have "
                    f"already ({', '.join(RESERVED)}). Give it another name."
                )
            if not isinstance(fact, Fact):
                raise ValueError(
                    f"The fact {name!r} about model {self.source!r} is {fact!r}; give a text or a "
                    "number."
                )


@dataclass(frozen=True)
class Plan:
    """A sweep: models x seeds x sites x downstreams x problems.

    Parameters
    ----------
    models
        The models, as `ModelSource` or by name or path alone.
    problems
        What each is asked; ids must differ.
    corruptions
        `ccta` (the published seven), `zero`, or a list of the library's corruptions.
    sites
        Where thoughts are corrupted; see `Intervention`.
    downstream
        `recompute`, `frozen`, or both.
    seeds
        For the random ones among the corruptions.
    outcomes
        What is measured of each variant, by default what a study measures; see `run_variants`.
    attention
        Whether attention is recorded as well.
    layers
        Which layers are recorded; by default all.
    experiments
        Which experiments are made beside it, by the names that `run_study` takes, such as "exits".
        They compare problems, so that a shard of one holds all problems of a model.
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        How many rows run at once. It is a number here, and not what happens to fit into memory,
        as rounding depends on it.
    problems_per_shard
        How many problems are done and written at a time. As with `batch_size`, cutting changes
        results by rounding alone, and in float64 not at all.

    Examples
    --------
    >>> from cot_attn import load_problems
    >>> plan = Plan(["toy-gpt2", "toy-llama"], load_problems("toy", n=12), corruptions="zero")
    >>> [model.source for model in plan.models], len(plan.problems)
    (['toy-gpt2', 'toy-llama'], 12)
    """

    models: Sequence[ModelSource]
    problems: Sequence[Problem]
    corruptions: Sequence[Corruption]
    sites: Sequence[Site]
    downstream: Sequence[Downstream]
    seeds: Sequence[int]
    outcomes: Sequence[str]
    attention: bool
    layers: Sequence[int] | None
    experiments: Sequence[str]
    max_new_tokens: int
    batch_size: int
    problems_per_shard: int

    def __init__(
        self,
        models: Iterable[ModelSource | str | PathLike[str]],
        problems: Iterable[Problem],
        *,
        corruptions: str | Sequence[Corruption | Described] = CCTA,
        sites: Sequence[Site | Described] = ("input",),
        downstream: Sequence[str] = ("recompute",),
        seeds: Sequence[int] = (0,),
        outcomes: Sequence[str] = STUDIED,
        attention: bool = True,
        layers: Sequence[int] | None = None,
        experiments: Sequence[str] = (),
        max_new_tokens: int = 64,
        batch_size: int = 256,
        problems_per_shard: int = 100,
    ) -> None:
        several: dict[str, object] = {
            "models": models,
            "sites": sites,
            "downstream": downstream,
            "seeds": seeds,
            "outcomes": outcomes,
            "experiments": experiments,
        }
        for name, argument in several.items():
            if isinstance(argument, str) or not isinstance(argument, Iterable):
                raise TypeError(f"{name} is {argument!r}; give a list, as in [{argument!r}].")
        values: dict[str, Any] = {
            "models": tuple(
                each if isinstance(each, ModelSource) else ModelSource(str(each)) for each in models
            ),
            "problems": tuple(check_problems(problems)),
            "corruptions": corruptions_of(corruptions),
            "sites": tuple(site_of(each) for each in sites),
            "downstream": tuple(downstream),
            "seeds": tuple(seeds),
            "outcomes": tuple(outcomes),
            "attention": attention,
            "layers": None if layers is None else tuple(layers),
            "experiments": tuple(experiments),
            "max_new_tokens": max_new_tokens,
            "batch_size": batch_size,
            "problems_per_shard": problems_per_shard,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Raise what can be said without loading a model."""
        several = ("models", "corruptions", "sites", "downstream", "seeds", "outcomes")
        for name in (*several, "experiments"):
            values = list(getattr(self, name))
            if not values and name != "experiments":
                raise ValueError(f"{name} is empty. Give at least one.")
            twice = next((each for i, each in enumerate(values) if each in values[:i]), None)
            if twice is not None:
                raise ValueError(
                    f"{name} has {twice!r} twice, so the same shards would be done twice. Give "
                    "each once."
                )
        for way in self.downstream:
            if way not in get_args(Downstream):
                raise ValueError(f"downstream is {way!r}; accepted: recompute, frozen.")
        for seed in self.seeds:
            if type(seed) is not int or seed < 0:
                raise ValueError(f"A seed is {seed!r}; give whole numbers, 0 or more.")
        for name in ("max_new_tokens", "batch_size", "problems_per_shard"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is {number!r}; give a whole number, 1 or more.")
        without = [problem.id for problem in self.problems if problem.answer is None]
        if without:
            raise ValueError(
                f"Problem {without[0]!r} has no gold answer, so no failure can be told from "
                "success. Give problems with answers."
            )

    @classmethod
    def read(cls, file: str | PathLike[str]) -> "Plan":
        """Read a plan from a TOML file.

        Its fields are those of `Plan`. `problems` is a data set's name, a file, or a table of
        arguments of `load_problems`; `models` are tables with `source`, and where needed `name`,
        `facts` and arguments of `from_pretrained`. Paths count from the file's own folder.

        Raises
        ------
        FileNotFoundError
            Where there is no such file.
        ValueError
            Where it is no TOML, or has a field that is not known, or lacks one.
        """
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"There is no plan {path}. Give a TOML file.")
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid TOML: {error}.") from error
        fields = [each.name for each in dataclasses.fields(cls)]
        _refuse_unknown(document, fields, str(path))
        for name in ("models", "problems"):
            if name not in document:
                raise ValueError(f"{path} has no {name!r}. A plan needs models and problems.")
        models = [_model(each, path) for each in _tables(document.pop("models"), path)]
        problems = _problems(document.pop("problems"), path)
        try:
            return cls(models, problems, **document)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error


def _tables(models: object, path: Path) -> list[Any]:
    if not isinstance(models, list):
        raise ValueError(f"{path}: models is {models!r}; write [[models]] above each model.")
    return models


def _model(table: object, path: Path) -> ModelSource:
    if isinstance(table, str):
        return ModelSource(_beside(table, path))
    if not isinstance(table, dict) or not isinstance(table.get("source"), str):
        raise ValueError(f"{path}: a model is {table!r}; it needs a `source`, as in 'toy-gpt2'.")
    options = {key: value for key, value in table.items() if key not in ("source", "name", "facts")}
    if isinstance(options.get("base"), str):
        options["base"] = _beside(options["base"], path)
    try:
        return ModelSource(
            _beside(table["source"], path), table.get("name"), options, table.get("facts", {})
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _problems(table: object, path: Path) -> list[Problem]:
    if isinstance(table, str):
        table = {"name": table}
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ValueError(
            f"{path}: problems is {table!r}; give a data set's name or a file, or a table such as "
            "{name = 'toy', n = 60, seed = 0}."
        )
    arguments = {key: value for key, value in table.items() if key != "name"}
    accepted = set(inspect.signature(load_problems).parameters) - {"name_or_path"}
    _refuse_unknown(arguments, accepted, f"{path}: problems")
    return load_problems(_beside(table["name"], path), **arguments)


def _beside(source: str, path: Path) -> str:
    """Return a path from the plan's own folder, or a name as it is."""
    here = path.absolute().parent / Path(source).expanduser()
    return str(here) if here.exists() else source


def _refuse_unknown(names: Collection[str], accepted: Collection[str], where: str) -> None:
    for name in names:
        if name not in accepted:
            near = get_close_matches(name, list(accepted), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{where} has a field {name!r} that is not known.{hint} Accepted are "
                f"{', '.join(sorted(accepted))}."
            )
