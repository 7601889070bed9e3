"""Two matrices: where each thought attends among thoughts, and how that differs from the mask's."""

import numpy as np
import xarray as xr
from jaxtyping import Shaped
from matplotlib.figure import Figure, SubFigure

from cot_attn.plots._headings import heading
from cot_attn.plots._heatmap import draw_heatmap, write_cells
from cot_attn.plots._summaries import Values, model_of, n_of, scalar_label, summary
from cot_attn.plots.canvas import NARROW, PAGE, axes_on, figure, style, width_of
from cot_attn.plots.colours import DIFFERENCES, SHARES
from cot_attn.stats import causal_baseline


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

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> even = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None]
    >>> flow = xr.DataArray(np.tile(even, (9, 1, 1)), dims=("problem", "from_thought", "thought"))
    >>> flow = flow.assign_coords(problem=range(9), from_thought=range(3), thought=range(3))
    >>> share, excess = flow_between_thoughts(flow)
    >>> float(np.nanmax(np.abs(excess.collections[0].get_array().filled(np.nan))))
    0.0
    """
    shown = summary(matrices, ("from_thought", "thought"), "matrices")
    attending, attended = shown["from_thought"].values, shown["thought"].values
    seen = xr.DataArray(attended[None, :] <= attending[:, None], dims=("from_thought", "thought"))
    share = 100 * shown["estimate"].where(seen)
    even = causal_baseline(len(attended)).values[np.searchsorted(attended, attending)]
    excess = share - 100 * even
    fig = fig or figure(PAGE, 2.7)
    panels: np.ndarray = axes_on(fig, *((2, 1) if width_of(fig) < NARROW else (1, 2))).ravel()
    where = [
        model_of(shown),
        scalar_label(shown, "layer"),
        scalar_label(shown, "head"),
        n_of(shown),
    ]
    maps = (
        (panels[0], share, SHARES, "share (%), root scale"),
        (panels[1], excess, DIFFERENCES, "percentage points"),
    )
    meshes = [
        draw_heatmap(
            ax,
            values.values,
            list(attending),
            list(attended),
            scale=scale,
            scale_label=label,
        )
        for ax, values, scale, label in maps
    ]
    heading(panels[0], "Attention between thoughts", where)
    heading(
        panels[1], "Difference from the causal baseline", ["0: spread evenly over what is seen"]
    )
    for ax, mesh in zip(panels, meshes, strict=True):
        ax.set_xlabel("attended thought")
        ax.set_ylabel("attending thought")
        write_cells(ax, mesh)
        ax.invert_yaxis()  # thoughts follow one another downwards, as in every attention matrix
    return panels
