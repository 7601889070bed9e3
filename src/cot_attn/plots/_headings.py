"""Titles, subtitles and legends, stacked above the axes where they cannot cover data."""

from collections.abc import Sequence
from typing import TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import ScaledTranslation

from cot_attn.plots._text import text_width, wrapped
from cot_attn.plots.canvas import FAINT, Size, axes_size, width_of

LINE = 9.5  # points from one line of a subtitle to the next
SUBTITLE_SIZE = 6.5  # points, as in the style sheet; so are these:
TITLE_SIZE = 8.0
FIGURE_TITLE_SIZE = 9.0
SLACK = 8.0  # points that the axes may yet lose to longer tick labels
HANDLE = 28.0  # points: a legend's handle and the space after its label

Entry = TypeVar("Entry")


def heading(
    ax: Axes,
    title: str,
    subtitle: Sequence[str | None] = (),
    legend: Sequence[Artist | Container] = (),
    *,
    size: Size | None = None,
) -> None:
    """Write a title, a fainter subtitle and a legend above the axes, each on lines of its own.

    Parameters
    ----------
    subtitle
        Its parts; those that are None are left out. They are joined by a dot, in as many lines
        as the width of the axes asks for.
    legend
        Labelled handles.
    size
        That of the axes, where it is known already: to lay a figure out takes a while.
    """
    width = (size or axes_size(ax))[0] - SLACK
    height = 3.0
    if legend:
        broken = [
            wrapped([str(handle.get_label())], SUBTITLE_SIZE, width - HANDLE) for handle in legend
        ]
        columns = columns_that_fit([line for lines in broken for line in lines], width)
        columns = min(columns, len(legend))
        ax.legend(
            handles=by_rows(legend, columns),
            labels=by_rows(["\n".join(lines) for lines in broken], columns),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            bbox_transform=ax.transAxes + _up(ax, height),
            ncols=columns,
            borderpad=0,
            labelspacing=0.3,
        )
        rows = [broken[first : first + columns] for first in range(0, len(broken), columns)]
        height += sum(max(map(len, row)) for row in rows) * LINE + 1
    lines = wrapped([phrase for phrase in subtitle if phrase], SUBTITLE_SIZE, width)
    if lines:
        ax.annotate(
            "\n".join(lines),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, height),
            textcoords="offset points",
            fontsize=SUBTITLE_SIZE,
            color=FAINT,
            va="bottom",
            linespacing=1.15,
        )
        height += len(lines) * LINE
    lines = wrapped([title], TITLE_SIZE, width, weight="bold")
    ax.set_title("\n".join(lines), loc="left", pad=height + 1, va="bottom")


def figure_heading(fig: Figure | SubFigure, title: str, model: str | None) -> None:
    """Write what several panels are about above them all."""
    text = f"{title}, {model}" if model else title
    lines = wrapped([text], FIGURE_TITLE_SIZE, 72 * width_of(fig) - SLACK, weight="bold")
    fig.suptitle("\n".join(lines), x=0.01, ha="left")


def columns_that_fit(labels: Sequence[str], width: float, handle: float = HANDLE) -> int:
    """Say how many labels fit side by side, each as wide as the longest, with its handle."""
    widest = max(text_width(label, SUBTITLE_SIZE) for label in labels) + handle
    return max(1, min(len(labels), int(width / widest)))


def by_rows(entries: Sequence[Entry], columns: int) -> list[Entry]:
    """Order a legend's entries for Matplotlib, which fills columns first: people read rows first.

    Examples
    --------
    >>> by_rows([0, 1, 2, 3, 4], columns=2)
    [0, 2, 4, 1, 3]
    """
    return [entry for column in range(columns) for entry in entries[column::columns]]


def _up(ax: Axes, points: float) -> ScaledTranslation:
    fig = ax.get_figure(root=True)
    assert fig is not None
    return ScaledTranslation(0, points / 72, fig.dpi_scale_trans)
