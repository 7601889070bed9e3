"""A table of words: what a lens reads at each layer and place of one problem."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._summaries import model_of, require_dims
from cot_attn.plots._text import text_width, visible
from cot_attn.plots.canvas import COLUMN, FAINT, INK, PAGE, axes_or_new, axes_size, style
from cot_attn.plots.lens_maps import across_label, short_places

SIZE = 6.5  # points
LINE = 9.0  # points from one word of a cell to the next
GAP = 4.0  # points between layers
USUAL = 0.5  # a word that half of the other problems have is the lens's habit
PALE = "#b0b0b0"
ABOVE_AND_BELOW = 70.0  # points for headings and axis
NARROW_COLUMN = 26.0  # points; with more columns than fit so, a table is as wide as a page


@style()
def top_words(words: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Write one problem's likeliest tokens, layers up and places across, the usual ones in grey.

    A token is usual where at least half of the other problems have it among their first at the same
    layer and place: the lens says it whatever was asked.

    Parameters
    ----------
    words
        Over (layer, place, rank), from `readouts.top_tokens`: `.sel(problem=...)`, and perhaps
        `.isel(rank=slice(3))`. An attribute `wanted` (texts) stands above.
    ax
        Where to draw; by default, on a new figure that is as large as the table needs.
    """
    missing = {"token", "elsewhere"} - set(map(str, words.data_vars))
    if missing:
        raise ValueError(
            f"words lack {sorted(missing)}; give what readouts.top_tokens returns, of one problem."
        )
    require_dims(words["token"], ("layer", "place", "rank"), "words")
    words = words.transpose("layer", "place", "rank")
    n_layers, n_places, k = words["token"].shape
    height = n_layers * (k * LINE + GAP) + ABOVE_AND_BELOW
    width = PAGE if NARROW_COLUMN * n_places > 72 * COLUMN - 30 else COLUMN
    ax = axes_or_new(ax, height=height / 72, width=width)
    ax.set_xlim(-0.5, n_places - 0.5)
    ax.set_ylim(-0.5, n_layers - 0.5)
    ax.set_xticks(range(n_places), short_places(words["place"].values.tolist()))
    ax.set_yticks(range(n_layers), [str(layer) for layer in words["layer"].values])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(across_label("place"))
    ax.set_ylabel("layer")
    problem = str(words["problem"].item()) if "problem" in words.coords else None
    wanted = words.attrs.get("wanted")
    told = f"looked for: {', '.join(map(str, wanted))}" if wanted else None
    grey = "grey: at least half of the other problems have it there too"
    heading(ax, "What the lens reads", [model_of(words), problem, told, grey])
    across, up = axes_size(ax)
    room, line = across / n_places - 3, up / n_layers
    if line < k * LINE:
        raise ValueError(
            f"{k} words at each of {n_layers} layers need {n_layers * k * LINE / 72:.1f} inches; "
            f"these axes have {up / 72:.1f}. Give higher axes, or fewer words: .isel(rank=[0])."
        )
    for layer in range(1, n_layers):
        ax.axhline(layer - 0.5, color="#dddddd", linewidth=0.5)
    for layer, place, rank in np.ndindex(n_layers, n_places, k):
        text = visible(str(words["token"].values[layer, place, rank]))
        if int(words["token_id"].values[layer, place, rank]) < 0:
            continue
        usual = float(words["elsewhere"].values[layer, place, rank]) >= USUAL
        offset = ((k - 1) / 2 - rank) * LINE / line
        ax.text(
            place,
            layer + offset,
            _cut(text, room),
            fontsize=SIZE,
            color=PALE if usual else (INK if rank == 0 else FAINT),
            ha="center",
            va="center_baseline",
            parse_math=False,
        )
    return ax


def _cut(text: str, room: float) -> str:
    """Shorten a word to the width of its column.

    Examples
    --------
    >>> _cut("multiplication", 30.0)
    'multipl…'
    """
    if text_width(text, SIZE) <= room:
        return text
    while text and text_width(f"{text}…", SIZE) > room:
        text = text[:-1]
    return f"{text}…"
