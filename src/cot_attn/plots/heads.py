"""How many answers break as a thought is hidden from more and more heads."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from cot_attn.plots._headings import heading
from cot_attn.plots._points import CHANCE, draw_points
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import IMPORTANCE


@style()
def failure_by_heads(sets: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how many answers break when a thought is hidden from the heads that rank highest.

    The band holds random sets of as many heads.

    Parameters
    ----------
    sets
        Over (size), from `stats.head_sets`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(sets, ("size",), "sets").sortby("size")
    ax = axes_or_new(ax, height=2.4)
    sizes = [int(size) for size in shown["size"].values]
    x = np.arange(len(sizes), dtype=float)
    names = ("estimate", "low", "high", "random", "random_low", "random_high")
    estimate, low, high, random, least, most = (100 * shown[name].values for name in names)
    ax.fill_between(x, least, most, color=CHANCE, alpha=0.3, linewidth=0, zorder=0)
    ax.plot(x, random, color=CHANCE, linewidth=0.8, linestyle="--", zorder=1)
    handle = draw_points(
        ax,
        x,
        estimate,
        low,
        high,
        colour=IMPORTANCE,
        marker="o",
        label="those that rank highest",
        line="-",
    )
    band = Patch(color=CHANCE, alpha=0.3, label=f"{shown.attrs.get('n_random', '')} random sets")
    handles: list[Artist] = [handle, band]
    ax.set_xticks(x, [str(size) for size in sizes])
    ax.set_xlim(-0.4, len(sizes) - 0.6)
    ax.set_ylim(-3, 103)
    thought = shown.attrs.get("thought")
    ax.set_xlabel("heads that do not see " + ("it" if thought is None else f"thought {thought}"))
    ax.set_ylabel("answers broken (%)")
    parts = [model_of(shown), n_of(shown), interval_of(shown)]
    heading(ax, "Heads that look at a thought", parts, handles)
    return ax
