"""A study in the terminal."""

from collections.abc import Iterator, Sequence
from typing import SupportsFloat

import numpy as np
from rich.markup import escape
from rich.table import Table

from cot_attn.study.results import Study


def study_tables(study: Study) -> Iterator[Table]:
    """Yield the tables that show what a study found, the checks first."""
    yield _checks(study)
    yield _by_thought(study)
    if study.knows_difficulty:
        yield _by_difficulty(study)
    yield _by_layer(study)


def _checks(study: Study) -> Table:
    """Show what could make the numbers mean less than they seem to."""
    colours = {"pass": "green", "warn": "yellow", "fail": "bold red"}
    notable = [check for check in study.checks if check.status != "pass"]
    n_passed = len(study.checks) - len(notable)
    table = Table(
        title=f"{escape(study.name)}: checks ({n_passed} of {len(study.checks)} passed)",
        title_justify="left",
        show_header=False,
    )
    for check in notable:
        status = f"[{colours[check.status]}]{check.status}[/]"
        table.add_row(status, check.name.replace("_", " "), escape(check.message))
    if not notable:
        table.add_row("[green]pass[/]", ", ".join(c.name.replace("_", " ") for c in study.checks))
    return table


def _by_thought(study: Study) -> Table:
    """Show importance beside the share of attention at an early, a middle and the last layer."""
    n_wrong = len(study.problems) - study.n_correct
    table = Table(
        title=f"{escape(study.name)}: what each thought matters, and what it is attended to",
        caption=(
            f"{study.n_correct} of {len(study.problems)} problems answered right ({n_wrong} wrong, "
            f"left out). Importance: how often the answer breaks when the thought is corrupted, "
            f"mean over {study.effects.sizes['corruption']} corruptions, 95 % interval. Share: of "
            f"the attention on thoughts from {study.query} in a layer (L), mean over heads. All in "
            "percent."
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("thought", justify="right")
    table.add_column("importance", justify="right")
    table.add_column("95 %", justify="right", no_wrap=True)
    layers = study.shown_layers
    tables = {layer: study.table(layer) for layer in layers}
    for layer in layers:
        table.add_column(f"share L{layer}", justify="right", no_wrap=True)
    first = tables[layers[0]]
    for position, (thought, row) in enumerate(first.iterrows()):
        shares = [_number(tables[layer]["share"].iloc[position]) for layer in layers]
        interval = f"{_number(row['low'])} .. {_number(row['high'])}"
        table.add_row(str(thought), _number(row["importance"]), interval, *shares)
    return table


def _by_difficulty(study: Study) -> Table:
    """Show importance by the number of steps that a problem needs."""
    importance = study.importance_by_difficulty
    table = Table(
        title=f"{escape(study.name)}: importance of thoughts 0, 1, .. by number of steps, percent",
        title_justify="left",
    )
    table.add_column("steps", justify="right")
    table.add_column("n", justify="right")
    for thought in importance["thought"].values:
        table.add_column(str(thought), justify="right")
    for difficulty in importance["difficulty"].values:
        here = importance.sel(difficulty=difficulty)
        cells = [_number(100 * value) for value in here["estimate"].values]
        table.add_row(f"{difficulty:g}", str(int(here["n_problems"].max())), *cells)
    return table


def _by_layer(study: Study) -> Table:
    """Show whether attention tracks importance, one row a layer."""
    table = Table(
        title=f"{escape(study.name)}: does attention track importance?",
        caption=(
            "r between a thought's share and failure when it is corrupted. Within problems: does "
            "the thought that gets more than usual matter more than usual? Between thoughts: do "
            "thoughts that get more on average matter more on average? q: Benjamini-Hochberg."
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("layer", justify="right")
    table.add_column("within problems", justify="right")
    table.add_column("95 %", justify="right")
    table.add_column("q", justify="right")
    table.add_column("between thoughts", justify="right")
    table.add_column("p", justify="right")
    for layer in study.layers:
        here = study.correlations.sel(layer=layer)
        within, between = here.sel(estimand="within_problem"), here.sel(estimand="between_thoughts")
        table.add_row(
            str(layer),
            _number(within["estimate"], 2),
            f"{_number(within['low'], 2)} .. {_number(within['high'], 2)}",
            _number(within["q"], 3),
            _number(between["estimate"], 2),
            _number(between["p"], 3),
        )
    return table


def comparison_table(studies: Sequence[Study]) -> Table:
    """Show the importance of each thought for several models."""
    table = Table(title="Importance of thoughts 0, 1, .., percent", title_justify="left")
    table.add_column("model")
    table.add_column("right", justify="right")
    for thought in studies[0].importance["thought"].values:
        table.add_column(str(thought), justify="right")
    for study in studies:
        cells = [_number(100 * value) for value in study.importance["estimate"].values]
        table.add_row(escape(study.name), f"{100 * study.accuracy:.0f} %", *cells)
    return table


def _number(value: SupportsFloat, digits: int = 1) -> str:
    number = float(value)
    return f"{number:.{digits}f}" if np.isfinite(number) else "n/a"
