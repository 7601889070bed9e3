"""A run as a graph: arcs between its parts, as wide as what hangs on them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from cot_attn.plots._headings import heading
from cot_attn.plots._summaries import model_of, n_of, scalar_label, summary
from cot_attn.plots._units import unit_of
from cot_attn.plots.canvas import INK, PAGE, axes_or_new, style
from cot_attn.plots.colours import ATTENTION, IMPORTANCE

WIDEST = 3.0  # points: an edge on which everything hangs
FAINT_EDGE = "#cccccc"
DEEPEST = 0.4
COLOURS = {"attention": ATTENTION, "feedback": IMPORTANCE}


@style()
def causal_graph(effects: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw which views the answer hangs on: attention above the parts of a run, feedback below.

    An arc is as wide as the mean effect of taking it away; edges that are not needed are faint.

    Parameters
    ----------
    effects
        Over (edge) for one downstream, from `stats.edge_effects(...).sel(downstream="recompute")`.
    ax
        Where to draw; by default, on a new figure of a page's width.
    """
    shown = summary(effects, ("edge",), "effects")
    ax = axes_or_new(ax, height=2.6, width=PAGE)
    nodes = _nodes([*shown["source"].values, *shown["target"].values])
    place = {node: float(index) for index, node in enumerate(nodes)}
    ax.set_xlim(-0.5, len(nodes) - 0.5)
    ax.set_ylim(-0.5, 1.05)
    unit = unit_of(shown)
    sizes = shown["estimate"].values
    most = 1.0 if unit.factor == 100 else float(np.nanmax([*np.abs(sizes), 1e-12]))
    needed = shown["needed"].values if "needed" in shown else np.ones(len(sizes), dtype=bool)
    for index in np.argsort(needed, kind="stable"):
        ends = (str(shown[name].values[index]) for name in ("source", "target", "path"))
        source, target, path = ends
        if source not in place or target not in place:
            continue  # several edges taken away together have no place of their own
        side = -1.0 if path == "feedback" else 1.0
        size = float(np.nan_to_num(sizes[index])) / most
        colour = COLOURS.get(path, INK) if needed[index] else FAINT_EDGE
        width = max(WIDEST * size, 0.4) if needed[index] else 0.4
        _arc(ax, place[source], place[target], side, colour, width, 3 if needed[index] else 1)
    middle = list(place.values())
    ax.scatter(middle, [0.0] * len(middle), s=9, color=INK, zorder=4)
    ax.set_xticks(middle, [node.replace("thought ", "") for node in nodes])
    ax.tick_params(axis="x", length=0)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("thoughts by their number")
    handles: list[Artist] = [
        Line2D([], [], color=ATTENTION, linewidth=2.5, label="attention (above)"),
        Line2D([], [], color=IMPORTANCE, linewidth=2.5, label="feedback (below)"),
        Line2D([], [], color=FAINT_EDGE, linewidth=0.6, label="not needed"),
    ]
    widest = unit.label.split(":")[-1].strip()
    parts = [
        model_of(shown),
        scalar_label(shown, "downstream"),
        n_of(shown),
        f"width: {widest}, {'100 %' if unit.factor == 100 else f'{most:.2g}'} at the most",
    ]
    heading(ax, "What the answer hangs on", parts, handles)
    return ax


def _nodes(names: Sequence[object]) -> list[str]:
    """Put the parts of a run in order; sums of several are none."""
    order = {"question": -2, "bot": -1, "eot": 10**6, "answer": 10**6 + 1}
    nodes = {str(name) for name in names if " + " not in str(name)}
    return sorted(nodes, key=lambda name: order.get(name, _number(name)))


def _number(name: str) -> int:
    digits = name.removeprefix("thought ")
    return int(digits) if digits.isdigit() else 10**5


def _arc(
    ax: Axes, start: float, stop: float, side: float, colour: str, width: float, zorder: int
) -> None:
    """Draw an arc to an arrow head; longer ones are higher."""
    longest = max(ax.get_xlim()[1] - 0.5, 1.0)
    reach = max(side, -DEEPEST / 0.45) * float(np.sqrt((stop - start) / longest))
    curve = Path(
        [(start, 0), (start, reach * 1.33), (stop, reach * 1.33), (stop, 0.03 * side)],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    ax.add_patch(
        FancyArrowPatch(
            path=curve,
            arrowstyle="-|>",
            mutation_scale=4 + 1.2 * width,
            color=colour,
            linewidth=width,
            zorder=zorder,
        )
    )
