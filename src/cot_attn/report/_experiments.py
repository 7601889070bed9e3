"""The figures of experiments, as entries of the catalogue; each shows one statistic's table."""

from collections.abc import Callable
from typing import Any

import xarray as xr

from cot_attn import plots
from cot_attn.plots.interchange import expected_outcome
from cot_attn.report._numbers import percent
from cot_attn.report.figure import Figure, Results, Target
from cot_attn.study.results import Study

Words = Callable[[xr.Dataset], str]


def _ends(rates: xr.DataArray, dim: str, name: str = "") -> str:
    """Say where a rate is greatest, and where least."""
    if not rates.notnull().any():
        return "Nothing was found"
    most = rates.isel({dim: int(rates.fillna(-1).argmax(dim))})
    least = rates.isel({dim: int(rates.fillna(2).argmin(dim))})
    return (
        f"Most: {name}{most[dim].item()}, {percent(most)} %; least: "
        f"{name}{least[dim].item()}, {percent(least)} %"
    )


def _by(dim: str, name: str = "") -> Words:
    """Say the percentage at each label of a dimension."""

    def words(table: xr.Dataset) -> str:
        rates = table["estimate"]
        parts = [f"{name}{rate[dim].item()}: {percent(rate)}" for rate in rates]
        return f"{_ends(rates, dim, name)}. Percent. {'; '.join(parts)}."

    return words


def _by_exit(table: xr.Dataset) -> str:
    """Say how many problems are answered right after each number of thoughts."""
    exits = ", ".join(str(n) for n in table["n_thoughts"].values)
    if "difficulty" not in table.dims:
        rates = table["estimate"]
        numbers = ", ".join(percent(rate) for rate in rates)
        gist = _ends(rates, "n_thoughts", "after ")
        return f"{gist}. Percent right after {exits} thoughts: {numbers}."
    parts = []
    for difficulty in table["difficulty"].values:
        rates = table["estimate"].sel(difficulty=difficulty)
        numbers = ", ".join(percent(rate) for rate in rates)
        parts.append(f"difficulty {difficulty:g}: {numbers}")
    most = table["estimate"].mean("difficulty")
    gist = _ends(most, "n_thoughts", "after ").replace("Most", "Over difficulties, most", 1)
    return f"{gist}. Percent right after {exits} thoughts. {'; '.join(parts)}."


def _committed(table: xr.Dataset) -> str:
    return _by("n_thoughts", "after ")(table.sel(kind="stable"))


def _interchanged(table: xr.Dataset) -> str:
    outcome = expected_outcome(table)
    rates = _by("thought", "thought ")(table.sel(outcome=outcome, vector="source"))
    return (
        f"The answer becomes {'the predicted one' if outcome == 'predicted' else outcome}. {rates}"
    )


def _needed(table: xr.Dataset) -> str:
    edges = [str(label) for label in table["edge"].values[table["needed"].values]]
    return f"{len(edges)} of {table.sizes['edge']} edges are needed: {', '.join(edges) or 'none'}."


def _excess(table: xr.Dataset) -> str:
    """Say the excess of each part, mean over thoughts."""
    means = table["estimate"].mean("thought")
    parts = [f"{part}: {float(means.sel(part=part)):.2g}" for part in means["part"].values]
    gist = "No part is there"
    if means.notnull().any():
        top = means.isel(part=int(abs(means).fillna(-1).argmax("part")))
        gist = f"Furthest from 0 is {top['part'].item()} with {float(top):.2g}"
    return f"{gist}. Mean over thoughts. {'; '.join(parts)}."


def _sizes(table: xr.Dataset) -> str:
    """Say the estimate of each model, small to large."""
    ordered = table.sortby("n_parameters")
    parts = [
        f"{family} of {int(size):,}: {float(value):.2f}"
        for family, size, value in zip(
            ordered["family"].values,
            ordered["n_parameters"].values,
            ordered["estimate"].values,
            strict=True,
        )
    ]
    values = table["estimate"]
    gist = f"From {float(values.min()):.2f} to {float(values.max()):.2f} over {values.size} models"
    return f"{gist}. By parameters: {'; '.join(parts)}."


def _strategies(tables: tuple[xr.Dataset, xr.Dataset]) -> str:
    importance, attention = map(_sizes, tables)
    (gist, *_), (other, *_) = (text.split(". ") for text in (importance, attention))
    return (
        f"Importance: {gist[0].lower()}{gist[1:]}; attention: {other[0].lower()}{other[1:]}. "
        f"Importance. {importance} Attention. {attention}"
    )


def _table(study: Study, name: str, **where: str) -> xr.Dataset | None:
    """Return the table of an experiment that a study made, at chosen labels."""
    table = study.experiment_tables.get(name)
    return None if table is None else table.sel(where)


def _entry(
    plot: str,
    title: str,
    caption: str,
    words: Words,
    of_study: Callable[[Study], xr.Dataset | None] | None = None,
    *,
    wide: bool = False,
) -> Figure:
    def draw(results: Results, **where: Any) -> Any:
        return getattr(plots, plot)(results.other, **where)

    targets: list[Target] = ["gallery"]
    if of_study is not None:
        targets += ["page of one", "page of several", "files"]
    return Figure(
        name=plot,
        plot=plot,
        title=title,
        caption=caption,
        words=lambda results: words(results.other),
        draw=draw,
        scope="other",
        targets=frozenset(targets),
        wide=wide,
        of_study=of_study,
    )


EXPERIMENTS: tuple[Figure, ...] = (
    _entry(
        "accuracy_by_condition",
        "Thoughts replaced",
        "Answers right when all thoughts are replaced, beside the model as trained.",
        _by("condition"),
        lambda study: _table(study, "usage"),
    ),
    _entry(
        "accuracy_by_exit",
        "Answers forced after some thoughts",
        "Answers right after each number of thoughts; on grey, more than in training.",
        _by_exit,
        lambda study: _table(study, "exit_accuracy"),
    ),
    _entry(
        "commitment_by_exit",
        "When the answer is there",
        "The part of the problems whose answer is right, for the first time and from there on.",
        _committed,
        lambda study: _table(study, "commitment", target="right"),
    ),
    _entry(
        "interchange_by_thought",
        "Answers after an interchange",
        "How often the answer becomes the predicted one, or where none was predicted the other "
        "problem's, when a thought is that problem's.",
        _interchanged,
        lambda study: _table(study, "interchange", site="input", prediction="unknown"),
    ),
    _entry(
        "steering_by_dose",
        "Steering",
        "Answers that reach the target, over the band of random directions of the same norm.",
        _by("dose", "dose "),
        lambda study: _table(study, "steering", outcome="target"),
    ),
    _entry(
        "causal_graph",
        "What the answer hangs on",
        "Edges as wide as the part of the answers that break without them.",
        _needed,
        lambda study: _table(study, "causal_graph", downstream="recompute"),
        wide=True,
    ),
    _entry(
        "failure_by_heads",
        "Heads that look at a thought",
        "Answers that break as a thought is hidden from the heads that rank highest.",
        _by("size", "heads: "),
        lambda study: _table(study, "head_sets"),
    ),
    _entry(
        "frontier_by_thought",
        "Nodes in thoughts, by their part in the search",
        "How much more each thought is like nodes than like the same names in another part.",
        _excess,
        lambda study: _table(study, "frontier"),
    ),
    _entry(
        "quantity_by_size",
        "A quantity by size",
        "Each model against its number of parameters; a line through the means of sizes.",
        _sizes,
    ),
    Figure(
        name="strategies_by_size",
        plot="strategies_by_size",
        title="Strategy by size",
        caption="On how few thoughts importance and attention gather, from small models to large.",
        words=lambda results: _strategies(results.other),
        draw=lambda results, **where: plots.strategies_by_size(*results.other, **where),
        scope="other",
        targets=frozenset({"gallery"}),
    ),
)
