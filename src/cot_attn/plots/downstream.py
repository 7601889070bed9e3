"""Paired bars: a thought's total effect, and what of it does not travel through later thoughts."""

import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._paired_bars import Side, draw_pair, same_thoughts, write_pairs
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots._units import BROKEN, percent_only
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import DIRECT, IMPORTANCE


@style()
def recompute_against_frozen(
    recompute: xr.Dataset, frozen: xr.Dataset, *, ax: Axes | None = None
) -> Axes:
    """Draw each thought's importance when later thoughts follow, and when they are held fixed.

    Parameters
    ----------
    recompute, frozen
        Over (thought), from `stats.importance` of effects with this `downstream`.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> def rates(*estimate):
    ...     values = {name: ("thought", list(estimate)) for name in ("estimate", "low", "high")}
    ...     return xr.Dataset(values, coords={"thought": range(len(estimate))})
    >>> ax = recompute_against_frozen(rates(0.9, 0.5), rates(0.25, 0.5))
    >>> [float(bar.get_height()) for bar in ax.patches]
    [90.0, 50.0, 25.0, 50.0]
    """
    for importance in (recompute, frozen):
        percent_only(importance)
    total = summary(recompute, ("thought",), "recompute")
    direct = same_thoughts(total, summary(frozen, ("thought",), "frozen"), ("recompute", "frozen"))
    pair = (
        Side(total, IMPORTANCE, "later thoughts recomputed"),
        Side(direct, DIRECT, "later thoughts frozen"),
    )
    ax = axes_or_new(ax, height=2.4)
    handles = draw_pair(ax, pair, BROKEN.label)
    parts = [model_of(total), n_of(total), interval_of(total)]
    heading(ax, "Total and direct importance", parts, legend=handles)
    write_pairs([ax], [pair])
    return ax
