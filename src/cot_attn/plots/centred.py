"""Points within problems: what is left of attention and importance, a small panel a thought."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from cot_attn.plots._headings import SUBTITLE_SIZE, figure_heading
from cot_attn.plots._layers import chosen_layers
from cot_attn.plots._summaries import model_of, require_dims
from cot_attn.plots._units import signed
from cot_attn.plots.canvas import FAINT, INK, NARROW, PAGE, axes_on, figure, style, width_of
from cot_attn.plots.colours import thought_colour
from cot_attn.stats import join_by_label

MOST_COLUMNS = 8
PANEL = 1.0  # inches: the height of a panel


@style()
def attention_against_importance_within_problems(
    shares: xr.DataArray,
    failure: xr.DataArray,
    *,
    line: xr.Dataset | None = None,
    correlations: xr.Dataset | None = None,
    layers: Sequence[int] | None = None,
    fig: Figure | SubFigure | None = None,
) -> Shaped[np.ndarray, "layer thought"]:
    """Draw, a small panel a layer and thought, attention (across) and importance (up) as left.

    Left is what `stats.double_centred` leaves: how much more attention a thought gets, and how
    much more often it breaks the answer, than its problem's and the thought's own level explain.
    The line is the one of all thoughts together, the same in all panels of a layer.

    Parameters
    ----------
    shares
        (problem, layer, thought), from `stats.double_centred`.
    failure
        (problem, thought), from `stats.double_centred`.
    line
        `stats.fitted_line` of the two: `estimate`, `low`, `high` over (layer, share).
    correlations
        Over (layer), `stats.correlate` within problems; r is written in each layer's first panel.
    layers
        Which layers; by default all where they are few, else an early, a middle and the last one.
    fig
        Where to draw; by default, on a new figure of a page's width. On one narrower than five
        inches, or with more than eight thoughts, each thought has a row and each layer a column.

    Returns
    -------
    Array of Axes
        (layer, thought).

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> rng, dims = np.random.default_rng(0), ("problem", "layer", "thought")
    >>> shares = xr.DataArray(rng.normal(0, 0.1, (9, 2, 3)), dims=dims)
    >>> shares = shares.assign_coords(problem=range(9), layer=range(2), thought=range(3))
    >>> panels = attention_against_importance_within_problems(shares, shares.isel(layer=0))
    >>> panels.shape
    (2, 3)
    """
    require_dims(shares, ("problem", "layer", "thought"), "shares")
    failure = failure.drop_vars("layer", errors="ignore")
    require_dims(failure, ("problem", "thought"), "failure")
    looked, broken = join_by_label(shares, failure, names=("shares", "failure"))
    chosen = chosen_layers(looked, layers)
    thoughts = [int(thought) for thought in broken["thought"].values]
    narrow = fig is not None and width_of(fig) < NARROW
    upright = narrow or len(thoughts) > MOST_COLUMNS
    rows, columns = (len(thoughts), len(chosen)) if upright else (len(chosen), len(thoughts))
    fig = fig or figure(PAGE, 0.8 + PANEL * rows)
    grid = axes_on(fig, rows, columns, sharex=True, sharey=True)
    panels = grid.T if upright else grid
    widest = 100 * float(abs(looked.sel(layer=chosen)).max())
    reach = widest if widest > 0 else 100.0  # NaN where no row has any
    for row, layer in zip(panels, chosen, strict=True):
        r = None if correlations is None else float(correlations["estimate"].sel(layer=layer))
        for ax, thought in zip(row, thoughts, strict=True):
            _panel(ax, looked.sel(layer=layer, thought=thought), broken.sel(thought=thought))
            if line is not None:
                _draw_line(ax, line.sel(layer=layer))
            of_layer = f"layer {layer}" + ("" if r is None else f"\nr = {signed(r)}")
            names = [f"thought {thought}", of_layer]
            across, up = names[::-1] if upright else names
            if ax in grid[0]:
                ax.set_title(across, fontsize=SUBTITLE_SIZE)
            if ax in grid[:, 0]:
                ax.set_ylabel(up, fontsize=SUBTITLE_SIZE)
    _cross_at_zero(grid, reach)
    fig.supxlabel("share of attention, beyond problem and thought (pp)", fontsize=SUBTITLE_SIZE)
    fig.supylabel("answers broken, beyond (pp)", fontsize=SUBTITLE_SIZE)
    figure_heading(fig, "Importance within problems", model_of(shares))
    return panels


def _panel(ax: Axes, looked: xr.DataArray, broken: xr.DataArray) -> None:
    ax.plot(
        100 * looked.values,
        100 * broken.values,
        "o",
        color=thought_colour(int(broken["thought"])),
        markersize=2.0,
        markeredgewidth=0,
        alpha=0.6,
        zorder=2,
    )


def _cross_at_zero(grid: Shaped[np.ndarray, "row column"], reach: float) -> None:
    """Draw where nothing is left, and let all panels reach as far: last, or each would rescale."""
    grid[0, 0].set_xlim(-1.05 * reach, 1.05 * reach)
    grid[0, 0].locator_params(nbins=3)
    for ax in grid.flat:
        ax.axhline(0, color=FAINT, linewidth=0.4, zorder=1)
        ax.axvline(0, color=FAINT, linewidth=0.4, zorder=1)


def _draw_line(ax: Axes, line: xr.Dataset) -> None:
    percent, low, high = 100 * line["share"], 100 * line["low"], 100 * line["high"]
    ax.fill_between(percent, low, high, color=INK, alpha=0.18, linewidth=0, zorder=3)
    ax.plot(percent, 100 * line["estimate"], color=INK, linewidth=1.0, zorder=4)
