"""A labelled matrix in colour, with its numbers where they fit and a scale beside it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from cot_attn.plots._text import text_width
from cot_attn.plots._units import short, signed
from cot_attn.plots.canvas import INK, SMALL, axes_size, fix_ticks
from cot_attn.plots.colours import Scale

MOST_TICKS = 16
THICKNESS = 5.0  # points: of a scale
LIGHTNESS = (0.299, 0.587, 0.114)  # how much red, green and blue lighten a colour
DARK = 0.55  # on a darker cell, numbers are white


def draw_heatmap(
    ax: Axes,
    values: Float[np.ndarray, "row column"],
    rows: Sequence[object],
    columns: Sequence[object],
    *,
    scale: Scale,
    scale_label: str,
) -> QuadMesh:
    """Draw a matrix, its first row at the bottom, and the scale of its colours.

    Parameters
    ----------
    rows, columns
        Labels.
    scale
        How percentages are coloured.
    scale_label
        What the colours show, with its unit.
    """
    n_rows, n_columns = values.shape
    mesh = ax.pcolormesh(
        np.arange(n_columns + 1) - 0.5,
        np.arange(n_rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=scale.colours,
        norm=scale.norm(),
        edgecolor="white",
        linewidth=0.4,
    )
    hatch_negative(ax, (np.arange(n_columns + 1) - 0.5, np.arange(n_rows + 1) - 0.5), values)
    label_ticks(ax, "x", columns)
    label_ticks(ax, "y", rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    add_scale(mesh, ax, scale_label, scale.ticks)
    return mesh


def hatch_negative(
    ax: Axes,
    edges: tuple[Float[np.ndarray, " x"], Float[np.ndarray, " y"]],
    values: Float[np.ndarray, "row column"],
) -> None:
    """Hatch cells below 0: two colours of one lightness are the same in grey."""
    across, up = edges
    for row, column in np.argwhere(values < 0):
        corner = (across[column], up[row])
        size = (across[column + 1] - across[column], up[row + 1] - up[row])
        ax.add_patch(
            Rectangle(corner, *size, fill=False, hatch="////", edgecolor="white", linewidth=0)
        )


def add_scale(
    drawn: ScalarMappable,
    ax: Axes,
    label: str,
    ticks: Sequence[int],
    *,
    beneath: bool = False,
) -> None:
    """Put a scale of the colours beside the axes, or beneath them."""
    fig = ax.get_figure()
    assert fig is not None
    across, up = axes_size(ax)
    place, shrunk, length = ("bottom", 0.6, 0.6 * across) if beneath else ("right", 1.0, up)
    scale = fig.colorbar(
        drawn,
        ax=ax,
        label=label,
        location=place,
        pad=0.02,
        shrink=shrunk,
        aspect=length / THICKNESS,
    )
    scale.set_ticks(list(ticks), labels=[signed(float(tick), digits=0) for tick in ticks])
    scale.ax.minorticks_off()
    scale.outline.set_visible(False)
    fix_ticks(scale.ax)


def label_ticks(ax: Axes, along: str, labels: Sequence[object]) -> None:
    """Label the cells along x or y, at even steps where there are too many."""
    step = -(-len(labels) // MOST_TICKS)
    places = range(0, len(labels), step)
    set_ticks = ax.set_xticks if along == "x" else ax.set_yticks
    set_ticks(list(places), [str(labels[place]) for place in places])


def write_cells(ax: Axes, mesh: QuadMesh) -> None:
    """Write the values into the cells, if there is room for them; after the heading."""
    values: np.ndarray = np.ma.filled(np.ma.asarray(mesh.get_array()), np.nan)
    across, up = axes_size(ax)
    n_rows, n_columns = values.shape
    texts = [[short(value) for value in row] for row in values]
    longest = max(text_width(text, SMALL) for row in texts for text in row)
    if up / n_rows < 1.3 * SMALL or across / n_columns < longest + 2:
        return
    dark = mesh.to_rgba(values)[..., :3] @ LIGHTNESS < DARK
    for row, column in np.argwhere(np.isfinite(values)):
        ax.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if dark[row, column] else INK,
        )
