"""The tables on the page; each says in which CSV file its numbers are, unrounded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cot_attn import stats
from cot_attn.report._finding import reference
from cot_attn.report._numbers import (
    corrected,
    correlation,
    correlation_interval,
    each,
    floor,
    percent,
    percent_interval,
)
from cot_attn.study.results import Study

MOST_PROBLEMS = 12
MOST_BESIDE = 4  # models that have columns of one table
LISTED_UP_TO = 7  # thoughts: all their orders are tried, so that p is exact


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; the first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()  # headings over several columns: name and how many
    csv: str | None = None
    words: bool = False  # cells are words, not numbers
    shades: tuple[tuple[int | None, ...], ...] = ()  # how dark each cell is, from 0 to 4


def overview(studies: Sequence[Study]) -> Table:
    """Show importance beside share: thoughts down, or where models are many, models down."""
    return by_thought(studies) if len(studies) <= MOST_BESIDE else by_model(studies)


def by_model(studies: Sequence[Study]) -> Table:
    """Show a row of each model, in the order in which they were given."""
    thoughts = studies[0].importance["thought"].values
    rows = []
    for study in studies:
        spread = study.concentration["estimate"].sel(measure="effective_number")
        densest = spread.isel(layer=int(spread.fillna(np.inf).argmin("layer")))
        within = study.correlations["estimate"].sel(estimand="within_problem")
        furthest = within.isel(layer=int(abs(within).fillna(-1).argmax("layer")))
        rows.append(
            (
                study.name,
                percent(study.accuracy),
                *map(percent, study.importance["estimate"]),
                f"{float(densest):.1f} (L{int(densest['layer'])})",
                f"{correlation(furthest)} (L{int(furthest['layer'])})",
            )
        )
    return Table(
        "Models in the order in which they were given. Right: problems answered right, percent. "
        "Under a thought: how often the answer breaks when it is corrupted, mean over "
        f"{studies[0].effects.sizes['corruption']} corruptions, percent. Spread: among how many "
        "thoughts attention is spread in effect, at the layer where they are fewest. r: of share "
        "and failure within problems, at the layer where it is furthest from 0; both were picked, "
        "and the tables below have every layer with its interval.",
        ("model", "right", *(f"thought {i}" for i in thoughts), "spread", "r"),
        tuple(rows),
    )


def by_thought(studies: Sequence[Study]) -> Table:
    """Show importance beside the share at some layers, models side by side."""
    columns, groups = ["thought"], []
    label = reference(studies[0])
    for study in studies:
        shown = [f"L{layer}" for layer in study.shown_layers]
        columns += ["importance", "95 %", label, *shown]
        groups.append((study.name, 3 + len(shown)))
    alone = [study.importance_by_corruption.sel(corruption=label) for study in studies]
    rows = []
    for thought in studies[0].importance["thought"].values:
        cells = [str(thought)]
        for study, one in zip(studies, alone, strict=True):
            here = study.importance.sel(thought=thought)
            shares = study.shares.sel(thought=thought, layer=study.shown_layers).mean("problem")
            cells += [percent(here["estimate"]), percent_interval(here)]
            cells += [percent(one["estimate"].sel(thought=thought)), *map(percent, shares)]
        rows.append(tuple(cells))
    return Table(
        "Importance: how often the answer breaks when the thought is corrupted, mean over "
        f"{studies[0].effects.sizes['corruption']} corruptions, with its interval; beside it, "
        f"{label} alone. L{studies[0].shown_layers[-1]}: the share of the attention on thoughts "
        f"from {studies[0].query} in layer {studies[0].shown_layers[-1]}, mean over heads. "
        "Percent.",
        tuple(columns),
        tuple(rows),
        tuple(groups) if len(studies) > 1 else (),
    )


def differences(comparison: xr.Dataset) -> Iterator[Table]:
    """Show by how much thoughts matter more in one model than in another."""
    failed = comparison["failed"].mean("corruption", skipna=False)
    contrasts = stats.contrasts(failed, between="model", seed=int(comparison.attrs["seed"]))
    smallest = floor(contrasts)
    for pair in range(contrasts.sizes["pair"]):
        here = contrasts.isel(pair=pair)
        first, second = str(here["first"].values), str(here["second"].values)
        rows = [
            (
                str(thought),
                correlation(100 * one["estimate"], 1),
                f"{correlation(100 * one['low'], 1)} to {correlation(100 * one['high'], 1)}",
                corrected(one, "p_holm", smallest),
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
    apart = []
    if study.knows_difficulty:
        apart.append(("difficulty", "steps", study.importance_by_difficulty))
    apart.append(("corruption", "corruption", study.importance_by_corruption))
    for what, heading, rates in apart:
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
    shown = _telling(study)
    thoughts = study.failure["thought"].values
    rows, shades = [], []
    for place in shown:
        problem = study.problems[place]
        effects = study.effects.sel(problem=problem.id)
        failure = study.failure.sel(problem=problem.id)
        answered = str(effects["baseline_answer"].values) if "baseline_answer" in effects else "n/a"
        steps = float(effects["difficulty"])
        cells = [problem.question, "n/a" if np.isnan(steps) else f"{steps:g}"]
        cells += [str(problem.answer), answered]
        rows.append((*cells, *map(percent, failure.values)))
        shades.append((None,) * len(cells) + tuple(map(_shade, failure.values)))
    return Table(
        f"{study.name}: {len(shown)} of {len(study.problems)} problems, by steps; of each number "
        "of steps, those whose thoughts differ most. Under a thought: by how many of the "
        "corruptions of it the answer is broken, in percent; n/a: answered wrong, so that nothing "
        "could be broken.",
        ("question", "steps", "right", "model's", *(f"thought {i}" for i in thoughts)),
        tuple(rows),
        words=True,
        shades=tuple(shades),
    )


def _telling(study: Study) -> list[int]:
    """Choose problems, a few of each number of steps: where thoughts differ most comes first."""
    failure = study.failure.sel(problem=[problem.id for problem in study.problems]).values
    steps = study.effects["difficulty"].sel(problem=[p.id for p in study.problems]).values
    steps = np.nan_to_num(steps, nan=np.inf)
    apart = np.nan_to_num(failure.std(axis=1), nan=-1.0)
    order = np.lexsort((-apart, steps))
    rank = np.empty(len(order), dtype=int)  # within its number of steps
    for level in np.unique(steps):
        group = order[steps[order] == level]
        rank[group] = np.arange(len(group))
    chosen = np.lexsort((steps, rank))[:MOST_PROBLEMS]
    return [int(place) for place in chosen[np.lexsort((rank[chosen], steps[chosen]))]]


def _shade(fraction: float) -> int | None:
    """Say how dark a cell is: 0 for none broken to 4 for all."""
    return None if np.isnan(fraction) else int(np.ceil(4 * fraction))


def _correlations(study: Study, folder: str) -> Table:
    rows = []
    estimands = ("within_problem", "between_thoughts", "pooled")
    # Attributes of the estimands differ, so that joined they say nothing of the test.
    listed = study.correlations.attrs
    drawn = {"n_resamples": listed.get("n_resamples", 0), "test": "permutation"}
    smallest = floor(study.correlations.assign_attrs(drawn)) if drawn["n_resamples"] else 0.0
    least = (smallest, 0.0 if study.shares.sizes["thought"] <= LISTED_UP_TO else smallest, smallest)
    for layer in study.layers:
        here = study.correlations.sel(layer=layer)
        within, between, pooled = (here.sel(estimand=name) for name in estimands)
        rows.append(
            (
                str(layer),
                correlation(within["estimate"]),
                correlation_interval(within),
                corrected(within, "q", least[0]),
                correlation(between["estimate"]),
                corrected(between, "p", least[1]),
                correlation(pooled["estimate"]),
                corrected(pooled, "p", least[2]),
            )
        )
    unknown = np.isnan(study.correlations["estimate"].values)
    reasons = set(map(str, study.correlations["reason"].values[unknown])) - {""}
    why = f" n/a: {'; '.join(sorted(reasons))}." if reasons else ""
    return Table(
        f"{study.name}: does attention track importance? r between a thought's share and failure "
        f"when it is corrupted; q is Benjamini and Hochberg's, over layers. "
        f"\N{LESS-THAN OR EQUAL TO}: no smaller one is possible with {drawn['n_resamples']} "
        f"resamples.{why}",
        ("layer", "r", "95 %", "q", "r", "p", "r", "p"),
        tuple(rows),
        (("within problems", 3), ("between thoughts", 2), ("pooled", 2)),
        csv=f"{folder}/tables/correlations.csv",
    )


_NAMES = {"difficulty": "number of steps", "corruption": "corruption"}
