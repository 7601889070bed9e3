"""Bars: how often the answer breaks when each thought is corrupted."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._bars import draw_bars, rotation_that_fits, write_numbers
from cot_attn.plots._headings import heading
from cot_attn.plots._summaries import interval_of, model_of, n_of, scalar_label, summary
from cot_attn.plots._units import unit_of
from cot_attn.plots.canvas import axes_or_new, axes_size, style
from cot_attn.plots.colours import thought_colour

WIDTH = 0.72


@style()
def importance_by_thought(importance: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the importance of each thought as a bar with its interval.

    Parameters
    ----------
    importance
        Over (thought), from `stats.importance`. Another outcome than "failed" is drawn in its own
        unit.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> rates = {name: ("thought", np.array(values)) for name, values in
    ...          {"estimate": [0.2, 0.5], "low": [0.1, 0.4], "high": [0.3, 0.6]}.items()}
    >>> ax = importance_by_thought(xr.Dataset(rates, coords={"thought": [0, 1]}))
    >>> [float(bar.get_height()) for bar in ax.patches]
    [20.0, 50.0]
    """
    shown = summary(importance, ("thought",), "importance")
    unit = unit_of(shown)
    ax = axes_or_new(ax)
    thoughts = [int(thought) for thought in shown["thought"].values]
    positions = np.arange(len(thoughts), dtype=float)
    estimate, low, high = (unit.factor * shown[name].values for name in ("estimate", "low", "high"))
    colours = [thought_colour(thought) for thought in thoughts]
    draw_bars(ax, positions, estimate, low, high, width=WIDTH, colours=colours)
    ax.set_xlim(-0.6, len(thoughts) - 0.4)
    ax.set_xticks(positions, [str(thought) for thought in thoughts])
    ax.set_xlabel("thought corrupted")
    ax.set_ylabel(unit.label)
    selected = [scalar_label(shown, name) for name in ("corruption", "difficulty")]
    subtitle = [model_of(shown), *selected, n_of(shown), interval_of(shown)]
    heading(ax, "Importance by thought", subtitle)
    size = axes_size(ax)
    rotation = rotation_that_fits(ax, size, estimate, width=1.0)
    write_numbers(ax, size, positions, estimate, high, rotation=rotation)
    return ax
