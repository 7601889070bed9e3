"""The tables on the page; each says in which CSV file its numbers are, unrounded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cot_attn import stats
from cot_attn.report._numbers import (
    correlation,
    correlation_interval,
    each,
    percent,
    percent_interval,
    tail,
)
from cot_attn.study.results import Study

MOST_PROBLEMS = 12


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; the first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()  # headings over several columns: name and how many
    csv: str | None = None
    words: bool = False  # cells are words, not numbers


def by_thought(studies: Sequence[Study]) -> Table:
    """Show importance beside the share at three layers, models side by side."""
    columns, groups = ["thought"], []
    for study in studies:
        shown = [f"share L{layer}" for layer in study.three_layers]
        columns += ["importance", "95 %", *shown]
        groups.append((study.name, 2 + len(shown)))
    rows = []
    for thought in studies[0].importance["thought"].values:
        cells = [str(thought)]
        for study in studies:
            here = study.importance.sel(thought=thought)
            shares = study.shares.sel(thought=thought, layer=study.three_layers).mean("problem")
            cells += [percent(here["estimate"]), percent_interval(here), *map(percent, shares)]
        rows.append(tuple(cells))
    return Table(
        "Importance: how often the answer breaks when the thought is corrupted, mean over "
        f"{studies[0].effects.sizes['corruption']} corruptions, with its interval. Share L3: of "
        f"the attention on thoughts from {studies[0].query} in layer 3, mean over heads. Percent.",
        tuple(columns),
        tuple(rows),
        tuple(groups) if len(studies) > 1 else (),
    )


def differences(comparison: xr.Dataset) -> Iterator[Table]:
    """Show by how much thoughts matter more in one model than in another."""
    failed = comparison["failed"].mean("corruption", skipna=False)
    contrasts = stats.contrasts(failed, between="model", seed=int(comparison.attrs["seed"]))
    for pair in range(contrasts.sizes["pair"]):
        here = contrasts.isel(pair=pair)
        first, second = str(here["first"].values), str(here["second"].values)
        rows = [
            (
                str(thought),
                correlation(100 * one["estimate"], 1),
                f"{correlation(100 * one['low'], 1)} to {correlation(100 * one['high'], 1)}",
                tail(one["p_holm"]),
            )
            for thought, one in each(here, "thought")
        ]
        yield Table(
            f"Importance in {second} minus importance in {first}, percentage points, on the "
            f"{int(here['n_problems'].max())} problems that both answer right. p: Holm's, over "
            "thoughts and pairs. It says that the two differ, not why.",
            ("thought", "difference", "95 %", "p"),
            tuple(rows),
        )


def details(study: Study, folder: str) -> Iterator[Table]:
    """Yield a study's further tables; their CSV files lie in `folder`/tables."""
    by_difficulty = (("difficulty", "steps"),) if study.knows_difficulty else ()
    for what, heading in (*by_difficulty, ("corruption", "corruption")):
        rates = stats.importance(study.effects, by=what)
        yield Table(
            f"{study.name}: importance of thoughts by {_NAMES[what]}, percent.",
            (heading, "problems", *(f"thought {i}" for i in rates["thought"].values)),
            tuple(
                (
                    f"{label:g}" if what == "difficulty" else str(label),
                    str(int(rates["n_problems"].sel({what: label}).max())),
                    *map(percent, rates["estimate"].sel({what: label})),
                )
                for label in rates[what].values
            ),
            csv=f"{folder}/tables/importance_by_{what}.csv",
        )
    means = study.shares.mean("problem")
    yield Table(
        f"{study.name}: share of each thought in the attention on thoughts, percent.",
        ("layer", *(f"thought {i}" for i in means["thought"].values)),
        tuple((str(layer), *map(percent, means.sel(layer=layer))) for layer in study.layers),
        csv=f"{folder}/tables/share_by_layer.csv",
    )
    yield _correlations(study, folder)


def problems(study: Study) -> Table:
    """Show the first problems, what was answered, and which thoughts the answers need."""
    shown = study.problems[:MOST_PROBLEMS]
    rows = []
    for problem in shown:
        effects = study.effects.sel(problem=problem.id)
        failure = study.failure.sel(problem=problem.id)
        broken = "left out: answered wrong"
        if bool(effects["baseline_correct"]):
            broken = ", ".join(map(percent, failure))
        answered = str(effects["baseline_answer"].values) if "baseline_answer" in effects else "n/a"
        rows.append((problem.question, str(problem.answer), answered, broken))
    return Table(
        f"{study.name}: the first {len(shown)} of {len(study.problems)} problems. Broken: by how "
        "many of the corruptions, in percent, for thoughts 0, 1, ..",
        ("question", "right answer", "model's answer", "broken"),
        tuple(rows),
        words=True,
    )


def _correlations(study: Study, folder: str) -> Table:
    rows = []
    for layer in study.layers:
        here = study.correlations.sel(layer=layer)
        within, between, pooled = (
            here.sel(estimand=name) for name in ("within_problem", "between_thoughts", "pooled")
        )
        rows.append(
            (
                str(layer),
                correlation(within["estimate"]),
                correlation_interval(within),
                tail(within["q"]),
                correlation(between["estimate"]),
                tail(between["p"]),
                correlation(pooled["estimate"]),
                tail(pooled["p"]),
            )
        )
    unknown = np.isnan(study.correlations["estimate"].values)
    reasons = set(map(str, study.correlations["reason"].values[unknown])) - {""}
    why = f" n/a: {'; '.join(sorted(reasons))}." if reasons else ""
    return Table(
        f"{study.name}: does attention track importance? r between a thought's share and failure "
        f"when it is corrupted; q is Benjamini and Hochberg's, over layers.{why}",
        ("layer", "r", "95 %", "q", "r", "p", "r", "p"),
        tuple(rows),
        (("within problems", 3), ("between thoughts", 2), ("pooled", 2)),
        csv=f"{folder}/tables/correlations.csv",
    )


_NAMES = {"difficulty": "number of steps", "corruption": "corruption"}
