"""Bars that start at zero, with their intervals, and numbers that never touch one another."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.patheffects import withStroke

from cot_attn.plots._text import text_width
from cot_attn.plots._units import short
from cot_attn.plots.canvas import INK, SMALL, Size

GAP = 2.0  # points between an interval and its number


def draw_bars(
    ax: Axes,
    positions: Float[np.ndarray, " bar"],
    estimate: Float[np.ndarray, " bar"],
    low: Float[np.ndarray, " bar"],
    high: Float[np.ndarray, " bar"],
    *,
    width: float,
    colours: Sequence[str],
    hatch: str | None = None,
    label: str | None = None,
) -> BarContainer:
    """Draw bars and, over each, a line from low to high."""
    bars = ax.bar(
        positions,
        estimate,
        width,
        color=list(colours),
        edgecolor=INK,
        hatch=hatch,
        label=label,
        zorder=2,
    )
    # The white edge keeps the line visible on a dark bar.
    edge = withStroke(linewidth=2.2, foreground="white")
    ax.vlines(positions, low, high, color=INK, linewidth=0.9, zorder=3, path_effects=[edge])
    return bars


def tops(
    estimate: Float[np.ndarray, " bar"], high: Float[np.ndarray, " bar"]
) -> Float[np.ndarray, " bar"]:
    """Say how high each bar reaches with its interval; a missing one reaches nowhere."""
    reach: np.ndarray = np.nan_to_num(np.fmax(np.fmax(estimate, high), 0.0))
    return reach


def rotation_that_fits(
    ax: Axes, size: Size, estimate: Float[np.ndarray, " bar"], width: float
) -> int | None:
    """Say by how many degrees the numbers of bars of that width must be turned; None: no room."""
    left, right = ax.get_xlim()
    room = size[0] * width / (right - left)
    longest = max(text_width(short(value), SMALL) for value in estimate)
    if longest + 1 <= room:
        return 0
    return 90 if room >= SMALL else None


def write_numbers(
    ax: Axes,
    size: Size,
    positions: Float[np.ndarray, " bar"],
    estimate: Float[np.ndarray, " bar"],
    high: Float[np.ndarray, " bar"],
    *,
    rotation: int | None,
) -> None:
    """Write each bar's number above its interval, turned as told, or none, on axes of a size.

    The upper limit of the axis is raised, never lowered, so that bars and numbers fit; the lower
    one is 0.
    """
    texts = [short(value) for value in estimate]
    reach = tops(estimate, high)
    height = max(text_width(text, SMALL) for text in texts) if rotation == 90 else 1.2 * SMALL
    top = reach.max() / max(1 - (height + GAP + 1) / size[1], 0.4)
    ax.set_ylim(0, max(top, ax.get_ylim()[1]) if reach.any() else 1)
    if rotation is None:
        return
    for x, y, text in zip(positions, reach, texts, strict=True):
        ax.annotate(
            text,
            (x, y),
            xytext=(0, GAP),
            textcoords="offset points",
            ha="center",
            va="bottom",
            rotation=rotation,
            fontsize=SMALL,
            zorder=4,
        )
