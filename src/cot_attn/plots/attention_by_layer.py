"""A heat map: the share of attention that each thought gets at each layer."""

import numpy as np
from matplotlib.axes import Axes

from cot_attn.plots.colours import ATTENTION_MAP
from cot_attn.plots.headings import heading
from cot_attn.plots.heatmap import draw_heatmap
from cot_attn.plots.style import axes_or_new, style
from cot_attn.plots.summaries import Values, model_of, scalar_label, summary
from cot_attn.plots.units import count


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
    """
    shown = summary(shares, ("layer", "thought"), "shares")
    values = 100 * shown["estimate"].values
    layers, thoughts = shown["layer"].values, shown["thought"].values
    ax = axes_or_new(ax, height=0.95 + 0.17 * max(len(layers), 5))
    ax.set_xlabel("thought")
    ax.set_ylabel("layer")
    n = count(shown["n_problems"]) if "n_problems" in shown else None
    head = scalar_label(shown, "head") or "mean over heads"
    heading(ax, "Attention among thoughts", [model_of(shown), head, n])
    draw_heatmap(
        ax,
        values,
        list(layers),
        list(thoughts),
        colours=ATTENTION_MAP,
        limits=(0, float(np.nanmax(values))),
        scale_label="share of attention (%)",
    )
    return ax
