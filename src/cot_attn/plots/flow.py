"""Two matrices: where each thought attends among thoughts, and how that differs from the mask's."""

import numpy as np
import xarray as xr
from jaxtyping import Shaped
from matplotlib.figure import Figure, SubFigure

from cot_attn.plots.canvas import NARROW, PAGE, axes_on, figure, style, width_of
from cot_attn.plots.colours import ATTENTION_MAP, DIFFERENCE_MAP
from cot_attn.plots.headings import heading
from cot_attn.plots.heatmap import draw_heatmap, write_cells
from cot_attn.plots.summaries import Values, model_of, scalar_label, summary
from cot_attn.plots.units import count
from cot_attn.stats.flow import causal_baseline


@style()
def flow_between_thoughts(
    matrices: Values, *, fig: Figure | SubFigure | None = None
) -> Shaped[np.ndarray, " panel"]:
    """Draw the share of each thought's attention that each thought gets, then its excess.

    The second panel takes away what the causal mask alone would give if attention were spread
    evenly over what a thought can see: 1/(i+1) for thought i.

    Parameters
    ----------
    matrices
        (problem, from_thought, thought[, head]) of one layer, from `stats.flow`; averaged over
        heads here, for one head `.sel(head=...)` first. Or a Dataset over (from_thought, thought).
    fig
        Where to draw; by default, on a new figure of a page's width. On one narrower than five
        inches the panels stand one above the other.

    Returns
    -------
    Array of Axes
        The attention, and its difference from the causal baseline in percentage points.
    """
    shown = summary(matrices, ("from_thought", "thought"), "matrices")
    attending, attended = shown["from_thought"].values, shown["thought"].values
    seen = xr.DataArray(attended[None, :] <= attending[:, None], dims=("from_thought", "thought"))
    share = 100 * shown["estimate"].where(seen)
    even = causal_baseline(len(attended)).values[np.searchsorted(attended, attending)]
    excess = share - 100 * even
    fig = fig or figure(PAGE, 2.7)
    panels: np.ndarray = axes_on(fig, *((2, 1) if width_of(fig) < NARROW else (1, 2))).ravel()
    n = count(shown["n_problems"]) if "n_problems" in shown else None
    where = [model_of(shown), scalar_label(shown, "layer"), scalar_label(shown, "head"), n]
    reach = max(float(np.nanmax(np.abs(excess))), 1.0)  # rounding is not coloured
    maps = (
        (panels[0], share, ATTENTION_MAP, (0.0, 100.0), "share of attention (%)"),
        (panels[1], excess, DIFFERENCE_MAP, (-reach, reach), "percentage points"),
    )
    meshes = [
        draw_heatmap(
            ax,
            values.values,
            list(attending),
            list(attended),
            colours=colours,
            limits=limits,
            scale_label=scale,
        )
        for ax, values, colours, limits, scale in maps
    ]
    heading(panels[0], "Attention between thoughts", where)
    heading(panels[1], "Less what the causal mask gives", ["0: attention spread evenly"])
    for ax, mesh in zip(panels, meshes, strict=True):
        ax.set_xlabel("attended thought")
        ax.set_ylabel("attending thought")
        write_cells(ax, mesh)
        ax.invert_yaxis()  # thoughts follow one another downwards, as in every attention matrix
    return panels
