"""A heat map: which heads, at which layers, attend to one thought."""

import numpy as np
from matplotlib.axes import Axes

from cot_attn.plots.colours import ATTENTION_MAP
from cot_attn.plots.headings import heading
from cot_attn.plots.heatmap import draw_heatmap
from cot_attn.plots.style import axes_or_new, style
from cot_attn.plots.summaries import Values, model_of, summary
from cot_attn.plots.units import count


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
    """
    known = [int(label) for label in shares["thought"].values]
    if thought not in known:
        raise ValueError(f"There is no thought {thought}; the shares are of thoughts {known}.")
    shown = summary(shares.sel(thought=thought), ("layer", "head"), "shares")
    values = 100 * shown["estimate"].values
    layers, heads = shown["layer"].values, shown["head"].values
    ax = axes_or_new(ax, height=0.95 + 0.17 * max(len(layers), 5))
    ax.set_xlabel("head")
    ax.set_ylabel("layer")
    n = count(shown["n_problems"]) if "n_problems" in shown else None
    heading(ax, f"Attention on thought {thought} by head", [model_of(shown), n])
    draw_heatmap(
        ax,
        values,
        list(layers),
        list(heads),
        colours=ATTENTION_MAP,
        limits=(0, float(np.nanmax(values))),
        scale_label="share of attention (%)",
    )
    return ax
