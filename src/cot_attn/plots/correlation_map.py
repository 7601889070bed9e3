"""A map: where, by layer and thought, attention goes with importance."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._heatmap import LIGHTNESS, add_scale, hatch_negative, label_ticks
from cot_attn.plots._summaries import model_of, n_of, summary
from cot_attn.plots._text import text_width
from cot_attn.plots._units import signed
from cot_attn.plots.canvas import INK, SMALL, axes_or_new, axes_size, style

ROW = 0.2  # inches from one layer to the next
FEWEST_ROWS = 5
LEVEL = 0.05
COLOURS = "PuOr_r"
DARK = 0.5


@style()
def correlation_by_layer_and_thought(correlation: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw each thought's correlation of attention with importance (across) at each layer (up).

    What is told apart from 0 (q < 0.05) is written in bold; negative cells are hatched, so that
    the sign survives a copy in grey.

    Parameters
    ----------
    correlation
        Over (layer, thought), from `stats.correlate(..., estimand="within_thought")`.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> names = ("estimate", "low", "high", "q")
    >>> values = {name: (("layer", "thought"), [[-0.4, 0.9]]) for name in names}
    >>> found = xr.Dataset(values, coords={"layer": [0], "thought": [0, 1]})
    >>> correlation_by_layer_and_thought(found).get_xlabel()
    'thought'
    """
    shown = summary(correlation, ("layer", "thought"), "correlation")
    values = shown["estimate"].values
    layers, thoughts = list(shown["layer"].values), list(shown["thought"].values)
    ax = axes_or_new(ax, height=0.95 + ROW * max(len(layers), FEWEST_ROWS))
    ax.set_xlabel("thought")
    ax.set_ylabel("layer")
    edges = (np.arange(len(thoughts) + 1) - 0.5, np.arange(len(layers) + 1) - 0.5)
    mesh = ax.pcolormesh(
        *edges,
        np.ma.masked_invalid(values),
        cmap=COLOURS,
        vmin=-1,
        vmax=1,
        edgecolor="white",
        linewidth=0.4,
    )
    hatch_negative(ax, edges, values)
    label_ticks(ax, "x", thoughts)
    label_ticks(ax, "y", layers)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    add_scale(mesh, ax, "r", (-1, 0, 1))
    test = next((name for name in ("q", "p") if name in shown), None)
    how = f"bold: {test} < {LEVEL}" if test else None
    heading(
        ax,
        "Correlation by layer and thought",
        [model_of(shown), "attention with importance, within each thought", n_of(shown), how],
    )
    across, up = axes_size(ax)
    room = across / len(thoughts) > text_width("+0.00", SMALL) + 2
    if room and up / len(layers) > 1.3 * SMALL:
        dark = mesh.to_rgba(np.nan_to_num(values))[..., :3] @ LIGHTNESS < DARK
        for row, column in np.ndindex(values.shape):
            r = values[row, column]
            told = test is not None and float(shown[test].values[row, column]) < LEVEL
            colour = "white" if dark[row, column] and np.isfinite(r) else INK
            ax.text(
                column,
                row,
                "n/a" if np.isnan(r) else ("+" if r >= 0.005 else "") + signed(float(r)),
                ha="center",
                va="center",
                fontsize=SMALL,
                fontweight="bold" if told else "normal",
                color=colour,
            )
    return ax
