"""The look of every figure, and saving one: applied where it is asked for, never globally."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

STYLE_SHEET = Path(__file__).with_name("cot_attn.mplstyle")
COLUMN = 3.3  # inches: the width of a column of a two-column paper
PAGE = 6.9  # inches: the width of its page
NARROW = 5.0  # inches: on a narrower figure, panels stand one above the other

INK = "#222222"
FAINT = "#666666"
SMALL = 6.0  # points: numbers on bars and in cells

Size = tuple[float, float]
"""Width and height, in points."""


@contextmanager
def style() -> Iterator[None]:
    """Apply the style sheet as long as the context, or the decorated function, lasts.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> with style():
    ...     mpl.rcParams["axes.titlelocation"]
    'left'
    >>> mpl.rcParams["axes.titlelocation"]
    'center'
    """
    with plt.style.context(str(STYLE_SHEET)):
        yield


def figure(width: float = COLUMN, height: float = 2.2) -> Figure:
    """Make an empty figure in the style, for the plots that fill a figure of their own.

    Parameters
    ----------
    width, height
        In inches; `COLUMN` and `PAGE` are the widths of a paper's column and page.
    """
    with style():
        return plt.figure(figsize=(width, height))


def subplots(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = COLUMN,
    height: float = 2.2,
    **options: Any,
) -> tuple[Figure, Any]:
    """Make a figure with axes in the style, as `plt.subplots` does.

    Parameters
    ----------
    rows, columns
        How many axes.
    width, height
        Of the figure, in inches.
    **options
        What else `Figure.subplots` takes: `sharey=True`, ...

    Returns
    -------
    Figure and Axes
        The axes alone if there is one, else an array of them.

    Examples
    --------
    >>> fig, ax = subplots(width=PAGE, height=2.0)
    >>> fig.get_size_inches()
    array([6.9, 2. ])
    >>> plt.close(fig)
    """
    fig = figure(width, height)
    axes = axes_on(fig, rows, columns, **options)
    return fig, axes if rows * columns > 1 else axes[0, 0]


def axes_on(
    fig: Figure | SubFigure, rows: int = 1, columns: int = 1, **options: Any
) -> Shaped[np.ndarray, "row column"]:
    """Put a grid of axes in the style on a figure; always a (rows, columns) array."""
    with style():
        axes: np.ndarray = fig.subplots(rows, columns, squeeze=False, **options)
        for ax in axes.flat:
            fix_ticks(ax)
    return axes


def fix_ticks(ax: Axes) -> None:
    """Make the first ticks now, in the style in force, for all others to be copied from.

    Matplotlib makes ticks when they are first drawn, in the style in force *then*.
    """
    ax.xaxis.get_major_ticks(1)
    ax.yaxis.get_major_ticks(1)


def axes_or_new(ax: Axes | None, height: float = 2.2, width: float = COLUMN) -> Axes:
    """Draw on the given axes, or on those of a new figure of a column's width."""
    if ax is not None:
        return ax
    new: Axes = subplots(width=width, height=height)[1]
    return new


def axes_size(ax: Axes) -> Size:
    """Give the width and height of the axes in points, as the layout will leave them."""
    return axes_sizes([ax])[0]


def axes_sizes(panels: Sequence[Axes]) -> list[Size]:
    """Give the width and height of each of a figure's panels, which is laid out once for all."""
    root = panels[0].get_figure(root=True)
    assert root is not None
    layout = root.get_layout_engine()
    if layout is not None:
        layout.execute(root)
    inches = root.dpi_scale_trans.inverted()
    boxes = [ax.get_window_extent().transformed(inches) for ax in panels]
    return [(72 * box.width, 72 * box.height) for box in boxes]


def width_of(fig: Figure | SubFigure) -> float:
    """Give the width of a figure, or of a part of one, in inches."""
    root = fig.get_figure(root=True)
    assert root is not None
    return float(fig.bbox.width / root.dpi)


@contextmanager
def laid_out(fig: Figure, dpi: int) -> Iterator[None]:
    """Lay a figure out once, for all that is saved meanwhile; each saving would do it anew.

    Parameters
    ----------
    fig
        The figure. Afterwards it is laid out as before whenever it is drawn.
    dpi
        Dots an inch, in which letters are measured.
    """
    layout, screen = fig.get_layout_engine(), fig.dpi
    if layout is None:
        yield
        return
    fig.dpi = dpi
    layout.execute(fig)
    fig.dpi = screen
    with plt.rc_context({"figure.constrained_layout.use": False, "figure.autolayout": False}):
        fig.set_layout_engine(None)  # "none" leaves a placeholder, for which saving draws twice
    try:
        yield
    finally:
        fig.set_layout_engine(layout)


def save(
    axes: Axes | Shaped[np.ndarray, "..."],
    path: str | Path,
    formats: Sequence[str] = ("png", "pdf"),
    *,
    dpi: int = 300,
) -> list[Path]:
    """Save the figure that axes belong to, with its text as text in PDF and SVG.

    Parameters
    ----------
    axes
        What a function of this module has returned.
    path
        Where to, without a suffix.
    formats
        Suffixes: "png", "pdf", "svg".
    dpi
        Dots an inch of a PNG: 300 for print.

    Returns
    -------
    list of Path
        The files, in the order of `formats`. The same figure gives the same bytes again.
    """
    fig = np.asarray(axes).flat[0].get_figure(root=True)
    files = [Path(f"{path}.{suffix}") for suffix in formats]
    with style(), plt.rc_context({"svg.hashsalt": "cot_attn"}), laid_out(fig, dpi):
        for file in files:
            undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
            fig.savefig(file, dpi=dpi, metadata=undated.get(file.suffix[1:]))
    return files
