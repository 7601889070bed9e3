"""When the answer is there: accuracy after each number of thoughts, and commitment."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cot_attn.plots._headings import heading
from cot_attn.plots._points import draw_points, graded_colours
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots.canvas import FAINT, axes_or_new, style
from cot_attn.plots.colours import MARKERS, series

OFF = "#eeeeee"
APART = 0.05  # between the intervals of one exit


@style()
def accuracy_by_exit(accuracy: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how many answers are right after each number of thoughts, for each difficulty.

    What lies beyond the dotted line is off the model's training, as is what lies before it unless
    the model was trained with fewer thoughts too.

    Parameters
    ----------
    accuracy
        Over (n_thoughts[, difficulty]), from `stats.exit_accuracy`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    graded = [str(dim) for dim in accuracy["estimate"].dims if dim != "n_thoughts"][:1]
    shown = summary(accuracy, (*graded, "n_thoughts"), "accuracy")
    ax = axes_or_new(ax, height=2.5)
    exits = shown["n_thoughts"].values.astype(float)
    labels = list(shown[graded[0]].values) if graded else [None]
    handles: list[Artist] = []
    for index, (label, colour) in enumerate(zip(labels, graded_colours(len(labels)), strict=True)):
        line = shown.isel({graded[0]: index}) if graded else shown
        estimate, low, high = (100 * line[name].values for name in ("estimate", "low", "high"))
        handle = draw_points(
            ax,
            exits + APART * (index - (len(labels) - 1) / 2),
            estimate,
            low,
            high,
            colour=colour,
            marker=MARKERS[index % len(MARKERS)],
            label="" if label is None else f"{graded[0].replace('_', ' ')} {label:g}",
            line="-",
        )
        handles += [handle] if graded else []
    handles += _dress(ax, shown, exits, "answers right (%)")
    parts = [model_of(shown), n_of(shown), interval_of(shown)]
    heading(ax, "Answers forced after some thoughts", parts, handles)
    return ax


@style()
def commitment_by_exit(committed: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the part of the problems whose answer is there after so many thoughts.

    Those that never commit stay below the curves: they are censored, and not left out.

    Parameters
    ----------
    committed
        Over (kind, n_thoughts) for one target, from `stats.committed(...).sel(target="right")`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(committed, ("kind", "n_thoughts"), "committed")
    ax = axes_or_new(ax, height=2.4)
    exits = shown["n_thoughts"].values.astype(float)
    handles = []
    for index, kind in enumerate(shown["kind"].values):
        colour, stroke, marker = series(index)
        line = shown.sel(kind=kind)
        estimate, low, high = (100 * line[name].values for name in ("estimate", "low", "high"))
        ax.step(exits, estimate, where="post", color=colour, linestyle=stroke, linewidth=0.9)
        there = exits + APART * (2 * index - 1)
        ax.vlines(there, low, high, color=colour, linewidth=0.9)
        ax.plot(there, estimate, marker, color=colour, linestyle="none", markersize=3.4)
        handles.append(
            Line2D([], [], color=colour, linestyle=stroke, marker=marker, label=_KINDS[str(kind)])
        )
    _dress(ax, shown, exits, "problems committed (%)")
    target = str(shown["target"].item()) if "target" in shown.coords else ""
    parts = [model_of(shown), n_of(shown), interval_of(shown), "Kaplan-Meier"]
    heading(ax, _TITLES.get(target, "When the answer is there"), parts, handles)
    return ax


_KINDS = {"first": "for the first time", "stable": "from here on"}
_TITLES = {
    "right": "When the right answer is there",
    "final": "When the final answer is there",
}


def _dress(ax: Axes, shown: xr.Dataset, exits: np.ndarray, label: str) -> list[Patch]:
    ax.set_xticks(exits, [f"{n:g}" for n in exits])
    ax.set_xlim(exits.min() - 0.5, exits.max() + 0.5)
    ax.set_ylim(-3, 103)
    ax.set_xlabel("thoughts before the answer")
    ax.set_ylabel(label)
    trained = shown.attrs.get("trained_with")
    if trained is None or not exits.min() <= trained < exits.max():
        return []
    ax.axvspan(trained + 0.5, exits.max() + 0.5, color=OFF, zorder=0, linewidth=0)
    ax.axvline(trained + 0.5, color=FAINT, linewidth=0.7, linestyle=":", zorder=1)
    return [Patch(color=OFF, label="beyond training")]
