"""Points with intervals, and lines through them."""

from collections.abc import Sequence
from typing import Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

Stroke = Literal["-", "--", ":", "-.", "none"]
CHANCE = "#8a8a8a"
"""What is there by chance, or beside a random vector."""


def draw_points(
    ax: Axes,
    positions: Float[np.ndarray, " point"],
    estimate: Float[np.ndarray, " point"],
    low: Float[np.ndarray, " point"],
    high: Float[np.ndarray, " point"],
    *,
    colour: str,
    marker: str,
    label: str,
    line: Stroke = "none",
    filled: Bool[np.ndarray, " point"] | None = None,
    sideways: bool = False,
) -> Line2D:
    """Draw points, each with a line from low to high, and return a handle for the legend.

    Parameters
    ----------
    line
        How the points are joined, such as "-".
    filled
        Which markers are filled; by default all.
    sideways
        Whether values go across.
    """
    ends = ax.hlines if sideways else ax.vlines
    ends(positions, low, high, color=colour, linewidth=0.9, zorder=2)
    whole = np.ones(len(positions), dtype=bool) if filled is None else filled
    for rows, face in ((whole, colour), (~whole, "white")):
        if not rows.any():
            continue
        x, y = (estimate[rows], positions[rows]) if sideways else (positions[rows], estimate[rows])
        ax.plot(
            x,
            y,
            marker,
            color=colour,
            markerfacecolor=face,
            linestyle="none",
            markersize=3.6,
            zorder=3,
        )
    if line != "none":
        ax.plot(positions, estimate, color=colour, linestyle=line, linewidth=0.9, zorder=2)
    return Line2D([], [], color=colour, marker=marker, linestyle=line, markersize=3.6, label=label)


def graded_colours(n: int) -> Sequence[str]:
    """Give colours from dark to light, for what has an order, such as difficulties."""
    places = np.linspace(0.0, 0.85, max(n, 2))[:n]
    return [to_hex(mpl.colormaps["plasma"](place)) for place in places]
