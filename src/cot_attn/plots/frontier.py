"""How much thoughts have for nodes because of their part in a search."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._points import draw_points, graded_colours
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots.canvas import FAINT, axes_or_new, style
from cot_attn.plots.colours import MARKERS

APART = 0.12
LABELS = {
    "similarity": "excess of cosine similarity",
    "mass": "excess of probability (lens)",
}


@style()
def frontier_by_thought(excess: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw by how much each thought is more like nodes than like their names elsewhere.

    Parameters
    ----------
    excess
        Over (thought, part), from `stats.frontier_excess`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(excess, ("thought", "part"), "excess")
    ax = axes_or_new(ax, height=2.5)
    thoughts = [int(thought) for thought in shown["thought"].values]
    parts = [str(part) for part in shown["part"].values]
    x = np.arange(len(thoughts), dtype=float)
    ax.axhline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    handles: list[Artist] = []
    for index, (part, colour) in enumerate(zip(parts, graded_colours(len(parts)), strict=True)):
        line = shown.sel(part=part)
        estimate, low, high = (line[name].values for name in ("estimate", "low", "high"))
        handles.append(
            draw_points(
                ax,
                x + APART * (index - (len(parts) - 1) / 2),
                estimate,
                low,
                high,
                colour=colour,
                marker=MARKERS[index % len(MARKERS)],
                label=part,
            )
        )
    ax.set_xlim(-0.6, len(thoughts) - 0.4)
    ax.set_xticks(x, [str(thought) for thought in thoughts])
    ax.set_xlabel("thought")
    ax.set_ylabel(LABELS.get(str(shown.attrs.get("measure")), "excess"))
    subtitle = [model_of(shown), n_of(shown), interval_of(shown), "beyond the same names elsewhere"]
    heading(ax, "Nodes in thoughts, by part", subtitle, handles)
    return ax
