"""One problem in words: the question, the thoughts, the answer, and where one position looked."""

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Rectangle

from cot_attn.plots._headings import heading
from cot_attn.plots._heatmap import DARK, LIGHTNESS, add_scale
from cot_attn.plots._summaries import model_of, require_dims, scalar_label
from cot_attn.plots._text import text_width, visible
from cot_attn.plots._units import short
from cot_attn.plots.canvas import COLUMN, FAINT, INK, SMALL, axes_or_new, axes_size, style
from cot_attn.plots.colours import SHARES, thought_colour
from cot_attn.stats import as_array

SIZE = 6.5  # points: the words
LINE = 12.5  # points from one line of words to the next
BLOCK = 12.0  # points from a block's name to its first line
BETWEEN = 5.0  # points between blocks
NUMBER = 8.0  # points for the number under a thought
PADDING = 2.5  # points at either side of a word
MARGINS = 6.0  # points that the layout leaves at the sides of a figure
ABOVE_AND_BELOW = 62.0  # points for the title and the scale
BLOCKS = {"question": "question", "bot": "thoughts", "thought": "thoughts", "eot": "thoughts"}


class Word(NamedTuple):
    """A position of the sequence and the place of its box, in points from the upper left."""

    position: int
    text: str
    x: float
    y: float
    width: float


@style()
def one_problem(
    attention: xr.DataArray | xr.Dataset, query: int | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw a problem's words and thoughts, shaded by the attention that one position pays them.

    Parameters
    ----------
    attention
        (query, key[, head]) of one layer, from `PositionRecorder.dataset(...)`, with its
        coordinates `key_text`, `key_role` and `query_role`; averaged over heads here.
    query
        The position that looks; by default the last `eot`, which predicts the first answer token.
        It has a frame.
    ax
        Where to draw; by default, on a new figure of a column's width that is as high as the
        problem needs.

    Raises
    ------
    ValueError
        If there is no such position, or the axes are too low for the text.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, PositionRecorder, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> with PositionRecorder(model, layers=[0]) as recorder:
    ...     run = model.run(load_problems("toy", n=1), max_new_tokens=8)
    >>> attention = recorder.dataset(recorder.problems[0]).sel(layer=0)
    >>> one_problem(attention).axison
    False
    """
    rows = as_array(attention, "attention")
    rows = rows.mean("head", keep_attrs=True) if "head" in rows.dims else rows
    require_dims(rows, ("query", "key"), "attention")
    query = _position(rows, query)
    row = 100 * rows.sel(query=query)
    width = 72 * COLUMN - MARGINS
    if ax is None:
        _, _, height = _layout(row, width)
        ax = axes_or_new(None, height=(height + ABOVE_AND_BELOW) / 72)
    looker = str(row["key_text"].sel(key=query).item())
    problem = attention.attrs.get("problem")
    parts = [model_of(attention), scalar_label(rows, "layer"), scalar_label(rows, "head")]
    ax.set_axis_off()
    scale = SHARES.norm()
    coloured = ScalarMappable(scale, SHARES.colours)
    add_scale(coloured, ax, "attention (%)", SHARES.ticks, beneath=True)
    heading(ax, f"Attention paid by “{looker}”", [problem and f"problem {problem}", *parts])
    width, height = axes_size(ax)
    words, names, needed = _layout(row, width)
    if needed > height + 1:
        raise ValueError(
            f"The text needs axes {needed / 72:.1f} inches high at this width and they are "
            f"{height / 72:.1f}. Give higher ones, or leave ax out."
        )
    ax.set_xlim(0, width)
    ax.set_ylim(-height, 0)
    for name, y in names:
        ax.text(0, -y, _told(name, row, query), fontsize=SIZE, color=FAINT, va="top")
    for word in words:
        _draw_word(ax, word, row.sel(key=word.position), scale, framed=word.position == query)
    return ax


def _position(rows: xr.DataArray, query: int | None) -> int:
    positions = [int(position) for position in rows["query"].values]
    if query is None:
        closing = rows["query"].values[rows["query_role"].values == "eot"]
        if not len(closing):
            raise ValueError("No position has the role 'eot'; say which one looks with query=.")
        return int(closing[-1])
    if query not in positions:
        raise ValueError(
            f"query={query} is not a position of this problem; they are {positions[0]} to "
            f"{positions[-1]}."
        )
    return query


def _told(name: str, row: xr.DataArray, query: int) -> str:
    """Say how much attention a block got: of the thoughts, without BOT and EOT beside them."""
    here = row.sel(key=row["key_role"].values == name.removesuffix("s"))
    if name == "answer" and (here["key"].values > query).all():
        return "answer, written later"
    return f"{name}: {short(float(here.sum()))} %"


def _block(role: object) -> str:
    return BLOCKS.get(str(role), "answer")


def _layout(row: xr.DataArray, width: float) -> tuple[list[Word], list[tuple[str, float]], float]:
    """Set the words line by line, in blocks; also give the blocks' names and the height."""
    words: list[Word] = []
    names: list[tuple[str, float]] = []
    x = y = 0.0
    for position, text, role in zip(
        row["key"].values, row["key_text"].values, row["key_role"].values, strict=True
    ):
        name = _block(role)
        shown = visible(str(text)).removeprefix("thought ")
        box = text_width(shown, SIZE) + 2 * PADDING
        if role == "thought":
            box = max(box, 2 * LINE)
        if not names or names[-1][0] != name:
            if names:
                y += LINE + BETWEEN + (NUMBER if names[-1][0] == "thoughts" else 0.0)
            names.append((name, y))
            x, y = 0.0, y + BLOCK
        elif x + box > width:
            x, y = 0.0, y + LINE + (NUMBER if name == "thoughts" else 0.0)
        words.append(Word(int(position), shown, x, y, box))
        x += box + 1
    return words, names, y + LINE + (NUMBER if names[-1][0] == "thoughts" else 0.0)


def _draw_word(
    ax: Axes, word: Word, attention: xr.DataArray, scale: Normalize, *, framed: bool
) -> None:
    shade = to_rgb(mpl.colormaps[SHARES.colours](scale(float(attention))))
    is_thought = str(attention["key_role"].item()) == "thought"
    edge = thought_colour(int(word.text)) if is_thought else "none"
    ax.add_patch(
        Rectangle(
            (word.x, -word.y - LINE + 1),
            word.width,
            LINE - 1.5,
            facecolor=shade,
            edgecolor=INK if framed else edge,
            linewidth=1.2 if framed or is_thought else 0,
        )
    )
    if is_thought:
        ax.text(
            word.x + word.width / 2,
            -word.y - LINE - 1,
            f"{short(float(attention))} %",
            fontsize=SMALL,
            color=FAINT,
            ha="center",
            va="top",
        )
    dark = np.dot(shade, LIGHTNESS) < DARK
    ax.text(
        word.x + word.width / 2,
        -word.y - LINE / 2,
        word.text,
        fontsize=SIZE,
        color="white" if dark else INK,
        ha="center",
        va="center_baseline",
        parse_math=False,  # a question about dollars is not a formula
    )
