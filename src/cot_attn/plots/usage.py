"""How many answers are right under each condition on the thoughts."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cot_attn.plots._headings import heading
from cot_attn.plots._points import CHANCE, draw_points
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots.canvas import INK, axes_or_new, style
from cot_attn.plots.colours import IMPORTANCE

ROW = 0.2  # inches from one condition to the next
LEVEL = 0.05


@style()
def accuracy_by_condition(usage: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how many answers are right when the thoughts are replaced, condition by condition.

    Filled markers differ from the model as trained (Holm p < 0.05), which is black; the dashed line
    is what the commonest answer alone would get.

    Parameters
    ----------
    usage
        Over (condition), from `stats.usage_summary`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(usage, ("condition",), "usage")
    names = [str(name) for name in shown["condition"].values]
    ax = axes_or_new(ax, height=1.1 + ROW * len(names))
    y = np.arange(len(names), dtype=float)
    estimate, low, high = (100 * shown[name].values for name in ("estimate", "low", "high"))
    p = shown["p_holm"].values if "p_holm" in shown else np.zeros(len(y))
    for rows, colour in ((np.isfinite(p), IMPORTANCE), (np.isnan(p), INK)):
        if not rows.any():
            continue
        draw_points(
            ax,
            y[rows],
            estimate[rows],
            low[rows],
            high[rows],
            colour=colour,
            marker="o",
            label="",
            filled=(p < LEVEL)[rows] | np.isnan(p)[rows],
            sideways=True,
        )
    handles = [
        Line2D([], [], color=IMPORTANCE, marker="o", linestyle="none", label="differs"),
        Line2D(
            [],
            [],
            color=IMPORTANCE,
            marker="o",
            markerfacecolor="white",
            linestyle="none",
            label="no difference found",
        ),
    ]
    chance = 100 * float(shown.attrs.get("most_common", np.nan))
    if np.isfinite(chance):
        ax.axvline(chance, color=CHANCE, linewidth=0.8, linestyle="--", zorder=1)
        handles.append(Line2D([], [], color=CHANCE, linestyle="--", label="the commonest answer"))
    for boundary in y[:-1] + 0.5:
        ax.axhline(boundary, color="#dddddd", linewidth=0.5, zorder=1)
    ax.set_yticks(y, names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(-2, 102)
    ax.set_xlabel("answers right (%)")
    verdict = str(shown.attrs.get("verdict", "")).split(":")[0] or None
    parts = [model_of(shown), verdict, n_of(shown), interval_of(shown)]
    heading(ax, "Thoughts replaced", parts, handles)
    return ax
