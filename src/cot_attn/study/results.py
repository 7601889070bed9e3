"""A study: who attends to which thought, what each thought matters, and whether they agree."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import xarray as xr

from cot_attn import stats
from cot_attn.data.problem import Problem
from cot_attn.plots._layers import layers_to_show
from cot_attn.stats import Estimand
from cot_attn.study._checksums import damaged
from cot_attn.study._consistency import inconsistency
from cot_attn.study._experiments import STORE, experiment_tables
from cot_attn.study._lens import agreement, has_probe, probe_of, words_of
from cot_attn.study._notebook import shown_small
from cot_attn.study._storage import read_folder, write_folder

ARRAYS = ("attention", "effects")
READOUTS = "readouts"


@dataclass(frozen=True, eq=False)
class Study:
    """What one model did with a set of problems.

    Attributes
    ----------
    attention
        The record of attention, `attention(problem, layer, head, query, key)`, to a relative
        precision of 2**-14.
    effects
        What corrupting each thought did, over (problem, thought, corruption).
    problems
        What was asked.
    settings
        How the study was made: model, checkpoint, query, seed, corruptions, versions.
    readouts
        Where a lens finds the results of the steps, or None where it was not asked for: `rank` and
        `baseline_rank` (problem, layer, place, target[, other]) of states, `fed_rank` and
        `fed_baseline_rank` (problem, thought, target[, other]) of what was fed; see also `probe`
        and `top_words`.
    experiments
        What `run_study(..., experiments=[...])` was asked beside it, by name: the datasets that the
        functions of `cot_attn.experiments` return.

    Examples
    --------
    >>> import tempfile
    >>> from cot_attn import ContinuousThoughtModel, load_problems, run_study
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> study = run_study(model, load_problems("toy", n=12), corruptions="zero")
    >>> study.importance["estimate"].dims, study.shares.dims
    (('thought',), ('problem', 'layer', 'thought'))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = Study.load(study.save(f"{folder}/study"))
    >>> again.importance.identical(study.importance)
    True
    """

    attention: xr.Dataset
    effects: xr.Dataset
    problems: tuple[Problem, ...]
    settings: dict[str, Any]
    readouts: xr.Dataset | None = None
    experiments: Mapping[str, xr.Dataset] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.settings["model"])

    @property
    def query(self) -> str:
        """The position whose attention the study is about."""
        return str(self.settings["query"])

    @property
    def layers(self) -> list[int]:
        """The layers that were recorded."""
        return [int(layer) for layer in self.attention["layer"].values]

    @property
    def shown_layers(self) -> list[int]:
        """All recorded layers where they are four or fewer, else early, middle and last."""
        return layers_to_show(self.layers)

    @property
    def three_layers(self) -> list[int]:
        """Return `shown_layers`, as they were called before."""
        warnings.warn("three_layers is now shown_layers.", DeprecationWarning, stacklevel=2)
        return self.shown_layers

    @property
    def knows_difficulty(self) -> bool:
        """Whether the difficulty of any problem is known; problems of one's own may have none."""
        return int(self.effects["difficulty"].count()) > 0

    @property
    def n_correct(self) -> int:
        """Number of problems that the model answered right before anything was corrupted."""
        return int(self.effects["baseline_correct"].sum())

    @property
    def accuracy(self) -> float:
        """Fraction of problems answered right."""
        return self.n_correct / len(self.problems)

    @cached_property
    def checks(self) -> tuple[stats.Check, ...]:
        """What could make the study's numbers mean less than they seem to; look here first."""
        return stats.run_checks(self.attention, self.effects)

    @cached_property
    def importance(self) -> xr.Dataset:
        """How often the answer breaks when a thought is corrupted; mean over corruptions."""
        return stats.importance(self.effects).assign_attrs(model=self.name)

    @cached_property
    def importance_by_difficulty(self) -> xr.Dataset:
        """The importance among problems of each difficulty by itself."""
        by_difficulty = stats.importance(self.effects, by="difficulty")
        return by_difficulty.assign_attrs(model=self.name)

    @cached_property
    def importance_by_corruption(self) -> xr.Dataset:
        """The importance that each corruption by itself gives a thought."""
        by_corruption = stats.importance(self.effects, by="corruption")
        return by_corruption.assign_attrs(model=self.name)

    @cached_property
    def failure(self) -> xr.DataArray:
        """Failure of each problem under each thought's corruption, mean over corruptions."""
        failed = self.effects["failed"].mean("corruption", skipna=False)
        return failed.assign_attrs(model=self.name)

    @cached_property
    def head_shares(self) -> xr.DataArray:
        """Share of the attention on thoughts that each thought gets, at every layer and head."""
        return stats.share(self.attention, self.query).assign_attrs(model=self.name)

    @cached_property
    def shares(self) -> xr.DataArray:
        """Share of each thought, (problem, layer, thought), mean over heads."""
        return self.head_shares.mean("head").assign_attrs(model=self.name)

    @cached_property
    def sequence_attention(self) -> xr.DataArray:
        """Attention to each thought as a fraction of the whole row, mean over heads."""
        attention = stats.sequence_attention(self.attention, self.query)
        return attention.mean("head").assign_attrs(model=self.name)

    @cached_property
    def correlations(self) -> xr.Dataset:
        """Does attention track importance? One correlation a layer, by estimand."""
        estimands = [name for name in get_args(Estimand) if name != "within_thought"]
        return xr.concat(
            [self._correlate(estimand) for estimand in estimands],
            dim=pd.Index(estimands, name="estimand"),
            combine_attrs="drop_conflicts",
        )

    @cached_property
    def correlations_by_thought(self) -> xr.Dataset:
        """Correlation across problems within each thought, at every layer."""
        return self._correlate("within_thought")

    @cached_property
    def concentration(self) -> xr.Dataset:
        """How concentrated attention on thoughts is, at every layer."""
        spread = stats.concentration(self.shares)
        return spread.assign_attrs(model=self.name, n_thoughts=self.shares.sizes["thought"])

    @cached_property
    def experiment_tables(self) -> dict[str, xr.Dataset]:
        """The statistic of each experiment that was made, by the name of its table."""
        return dict(experiment_tables(self.experiments))

    @cached_property
    def lens(self) -> xr.Dataset:
        """How often a lens finds a step's result at each layer and place, beyond others' states."""
        return agreement(self.readouts, "hidden", self.name)

    @cached_property
    def lens_of_fed(self) -> xr.Dataset:
        """How often a thought is nearest to a step's result, beyond other problems' thoughts."""
        return agreement(self.readouts, "fed", self.name)

    @cached_property
    def probe(self) -> xr.Dataset:
        """What a probe reads at each layer and place, as `readouts.probe` gives it.

        It is asked whether the result of step 2 is above the median of all problems, or where
        results are no numbers, which it is; `attrs["label"]` says so.
        """
        return probe_of(self.readouts, self.name)

    @cached_property
    def top_words(self) -> xr.Dataset:
        """The likeliest tokens of the problem with most steps, as `readouts.top_tokens` gives."""
        return words_of(self.readouts, self.name)

    def _correlate(self, estimand: Estimand) -> xr.Dataset:
        seed = int(self.settings["seed"])
        found = stats.correlate(self.shares, self.failure, estimand, seed=seed)
        return found.assign_attrs(model=self.name)

    def table(self, layer: int) -> pd.DataFrame:
        """Return importance and attention by thought at one layer, in percent.

        The columns are the thought's importance, its attention as a part of the whole row, its
        share among thoughts, and the correlation of share and failure across problems.
        """
        if layer not in self.layers:
            raise ValueError(f"layer is {layer}; this study recorded {self.layers}.")
        here = self.correlations_by_thought.sel(layer=layer)
        return pd.DataFrame(
            {
                "importance": 100 * self.importance["estimate"].to_series(),
                "low": 100 * self.importance["low"].to_series(),
                "high": 100 * self.importance["high"].to_series(),
                "attention": 100
                * self.sequence_attention.sel(layer=layer).mean("problem").to_series(),
                "share": 100 * self.shares.sel(layer=layer).mean("problem").to_series(),
                "r": here["estimate"].to_series(),
                "q": here["q"].to_series(),
            }
        )

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield every result as a flat table with its name, fractions as they are."""
        yield "importance", self.importance.to_dataframe().reset_index()
        if self.knows_difficulty:
            by_difficulty = self.importance_by_difficulty
            yield "importance_by_difficulty", by_difficulty.to_dataframe().reset_index()
        by_corruption = self.importance_by_corruption
        yield "importance_by_corruption", by_corruption.to_dataframe().reset_index()
        by_problem = self.failure.rename("failed").to_dataframe().reset_index()
        yield "importance_by_problem", by_problem[["problem", "difficulty", "thought", "failed"]]
        for name, values in (("share", self.shares), ("attention", self.sequence_attention)):
            table = stats.mean_over_problems(values).to_dataframe().reset_index()
            yield f"{name}_by_layer", table
        yield "correlations", self.correlations.to_dataframe().reset_index()
        by_thought = self.correlations_by_thought.to_dataframe().reset_index()
        yield "correlations_by_thought", by_thought
        yield "concentration", self.concentration.to_dataframe().reset_index()
        if self.readouts is not None:
            yield "lens_by_layer", self.lens.to_dataframe().reset_index()
            yield "lens_by_thought", self.lens_of_fed.to_dataframe().reset_index()
            if has_probe(self.readouts):
                yield "probe", self.probe.to_dataframe().reset_index()
                yield "top_words", self.top_words.to_dataframe().reset_index()
        for name, found in self.experiment_tables.items():
            yield name, found.to_dataframe().reset_index()

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write the study to a folder; a study that is there already is replaced.

        Raises
        ------
        FileExistsError
            Where the folder has something else in it.
        PermissionError
            Where nothing can be written there.
        ValueError
            Where the study's parts contradict each other, so that it could not be loaded.
        """
        wrong = inconsistency(
            self.attention,
            self.effects,
            self.problems,
            self.settings,
            self.readouts,
            self.experiments,
        )
        if wrong:
            raise ValueError(f"The study is not saved, as its parts do not fit together: {wrong}.")
        arrays = {"attention": self.attention, "effects": self.effects}
        if self.readouts is not None:
            arrays[READOUTS] = self.readouts
        arrays |= {f"{STORE}{name}": found for name, found in self.experiments.items()}
        return write_folder(folder, arrays, self.settings, self.problems)

    def figures(self, folder: str | PathLike[str]) -> list[Path]:
        """Draw the study's pictures into a folder, as PNG and PDF, and return the files."""
        files: list[Path] = _report().write_figures(self, folder)
        return files

    def report(self, folder: str | PathLike[str]) -> Path:
        """Write the study into a folder as one HTML page, `report.html`, and return that.

        Tables (CSV) and problems lie in a folder beside it, called as the model.
        """
        page: Path = _report().write_report([self], folder)
        return page

    def show(self) -> Any:
        """Return the study's page as a notebook shows it: `study.show()` as a cell's last line."""
        return _report().show_studies([self])

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> "Study":
        """Read a study that `save` wrote.

        What stands beside it in the folder, such as a report, is left alone.

        Raises
        ------
        FileNotFoundError
            Where the folder is not a study.
        ValueError
            Where the study is of another format version, or where anything in it is not as it was
            written; the message says which file.
        """
        arrays, settings, problems = read_folder(folder, ARRAYS)
        attention, effects = (arrays.pop(name) for name in ARRAYS)
        readouts = arrays.pop(READOUTS, None)
        asked = {name.removeprefix(STORE): found for name, found in arrays.items()}
        wrong = inconsistency(attention, effects, problems, settings, readouts, asked)
        if wrong:
            raise damaged(Path(folder), f"does not fit together ({wrong})")
        return cls(attention, effects, tuple(problems), settings, readouts, asked)

    def _repr_html_(self) -> str:
        return shown_small(self)

    def __repr__(self) -> str:
        return (
            f"Study({self.name!r}, {len(self.problems)} problems, {self.n_correct} right, "
            f"{len(self.layers)} layers, {self.effects.sizes['corruption']} corruptions)"
        )


def _report() -> Any:
    """Return the package of pages and figures, which is made of studies and not known to them."""
    from cot_attn import report  # only here, and only when a page or a figure is asked for

    return report
