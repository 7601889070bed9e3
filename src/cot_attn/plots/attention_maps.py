"""Heat maps of the share of attention that thoughts get: by layer, and by head."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._heatmap import draw_heatmap, write_cells
from cot_attn.plots._summaries import Values, model_of, n_of, scalar_label, summary
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import SHARES

ROW = 0.17  # inches from one layer to the next
FEWEST_ROWS = 5  # with fewer layers, the map is as high as with these


@style()
def attention_by_layer(shares: Values, *, ax: Axes | None = None) -> Axes:
    """Draw the mean share of attention of each thought (across) at each layer (up).

    Parameters
    ----------
    shares
        (problem, layer, thought[, head]) from `stats.share`, averaged over heads here; for one
        head, `.sel(head=...)` first. Or a Dataset over (layer, thought) with the means.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> shares = xr.DataArray(np.full((9, 4, 6), 1 / 6), dims=("problem", "layer", "thought"))
    >>> shares = shares.assign_coords(problem=range(9), layer=range(4), thought=range(6))
    >>> attention_by_layer(shares).get_xlabel()
    'thought'
    """
    shown = summary(shares, ("layer", "thought"), "shares")
    head = scalar_label(shown, "head") or "mean over heads"
    return _draw(shown, "thought", "Attention among thoughts", [head], ax)


@style()
def attention_by_head(shares: Values, thought: int, *, ax: Axes | None = None) -> Axes:
    """Draw the mean share of attention that one thought gets from each head (across) and layer.

    Parameters
    ----------
    shares
        (problem, layer, head, thought) from `stats.share`, or a Dataset over (layer, head,
        thought) with the means.
    thought
        Which thought.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> dims = ("problem", "layer", "head", "thought")
    >>> shares = xr.DataArray(np.full((9, 4, 2, 6), 1 / 6), dims=dims)
    >>> labels = {"layer": range(4), "head": [0, 1], "thought": range(6)}
    >>> shares = shares.assign_coords(problem=range(9), **labels)
    >>> attention_by_head(shares, thought=0).get_xlabel()
    'head'
    """
    thoughts = [int(label) for label in shares["thought"].values]
    if thought not in thoughts:
        raise ValueError(f"There is no thought {thought}; the shares are of thoughts {thoughts}.")
    shown = summary(shares.sel(thought=thought), ("layer", "head"), "shares")
    return _draw(shown, "head", f"Attention on thought {thought} by head", [], ax)


def _draw(
    shown: xr.Dataset, across: str, title: str, subtitle: Sequence[str], ax: Axes | None
) -> Axes:
    values = 100 * shown["estimate"].values
    layers = list(shown["layer"].values)
    ax = axes_or_new(ax, height=0.95 + ROW * max(len(layers), FEWEST_ROWS))
    ax.set_xlabel(across)
    ax.set_ylabel("layer")
    mesh = draw_heatmap(
        ax,
        values,
        layers,
        list(shown[across].values),
        scale=SHARES,
        scale_label="share (%), root scale",
    )
    heading(ax, title, [model_of(shown), *subtitle, n_of(shown)])
    write_cells(ax, mesh)
    return ax
