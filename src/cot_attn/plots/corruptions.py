"""Points with intervals: the importance of each thought under each corruption."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cot_attn.plots._headings import heading
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots._units import unit_of
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import thought_colour, thought_marker

ROW = 0.42  # inches from one corruption to the next
SPREAD = 0.68  # of a row that its thoughts take up


@style()
def importance_by_corruption(importance: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw importance (across) by corruption (rows), a marker and an interval for each thought.

    Parameters
    ----------
    importance
        Over (corruption, thought), from `stats.importance(effects, by="corruption")`.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> values = {name: (("corruption", "thought"), [[0.2, 0.5], [0.1, 0.2]])
    ...           for name in ("estimate", "low", "high")}
    >>> rates = xr.Dataset(values, coords={"corruption": ["zero", "resample"], "thought": [0, 1]})
    >>> [label.get_text() for label in importance_by_corruption(rates).get_yticklabels()]
    ['zero', 'resample']
    """
    shown = summary(importance, ("corruption", "thought"), "importance")
    unit = unit_of(shown)
    corruptions = [str(name) for name in shown["corruption"].values]
    thoughts = [int(thought) for thought in shown["thought"].values]
    ax = axes_or_new(ax, height=0.95 + ROW * len(corruptions))
    rows = np.arange(len(corruptions), dtype=float)
    handles = []
    for place, thought in enumerate(thoughts):
        heights = rows + SPREAD * ((place + 0.5) / len(thoughts) - 0.5)
        colour, marker = thought_colour(thought), thought_marker(thought)
        estimate, low, high = (
            unit.factor * shown[name].sel(thought=thought).values
            for name in ("estimate", "low", "high")
        )
        ax.hlines(heights, low, high, color=colour, linewidth=0.9, zorder=2)
        ax.plot(estimate, heights, marker, color=colour, markersize=3.4, zorder=3)
        handles.append(
            Line2D(
                [], [], linestyle="none", color=colour, marker=marker, label=f"thought {thought}"
            )
        )
    for boundary in rows[:-1] + 0.5:
        ax.axhline(boundary, color="#dddddd", linewidth=0.5, zorder=1)
    ax.set_yticks(rows, corruptions)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(corruptions) - 0.5, -0.5)
    if not shown["estimate"].notnull().any():
        ax.set_xlim(0, 1)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    ax.set_xlabel(unit.label)
    heading(
        ax, "Importance by corruption", [model_of(shown), n_of(shown), interval_of(shown)], handles
    )
    return ax
