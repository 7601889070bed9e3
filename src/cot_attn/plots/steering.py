"""Where answers go as a direction is added in larger doses, beside random directions."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from cot_attn.plots._headings import heading
from cot_attn.plots._points import CHANCE, draw_points
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import IMPORTANCE

LEVEL = 0.05
LABELS = {
    "target": "answers that reach the target (%)",
    "elsewhere": "answers that go elsewhere (%)",
    "stays": "answers that stay (%)",
}


@style()
def steering_by_dose(response: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how many answers reach the target at each dose, over the band of random directions.

    Filled markers lie above every random direction but a twentieth (p < 0.05).

    Parameters
    ----------
    response
        Over (dose) for one outcome, from `stats.dose_response(...).sel(outcome="target")`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(response, ("dose",), "response").sortby("dose")
    outcome = str(shown["outcome"].item()) if "outcome" in shown.coords else "target"
    ax = axes_or_new(ax, height=2.4)
    doses = shown["dose"].values.astype(float)
    names = ("estimate", "low", "high", "random", "random_low", "random_high")
    estimate, low, high, random, least, most = (100 * shown[name].values for name in names)
    ax.fill_between(doses, least, most, color=CHANCE, alpha=0.3, linewidth=0, zorder=0)
    ax.plot(doses, random, color=CHANCE, linewidth=0.8, linestyle="--", zorder=1)
    filled = shown["p"].values < LEVEL if "p" in shown else np.ones(len(doses), dtype=bool)
    handle = draw_points(
        ax,
        doses,
        estimate,
        low,
        high,
        colour=IMPORTANCE,
        marker="o",
        label=str(shown.attrs.get("name", "direction")),
        line="-",
        filled=filled,
    )
    n_random = shown.attrs.get("n_random")
    band = Patch(color=CHANCE, alpha=0.3, label=f"{n_random or 'random'} random directions")
    handles: list[Artist] = [handle, band]
    ax.set_xticks(doses, [f"{dose:g}" for dose in doses])
    ax.set_ylim(-3, 103)
    ax.set_xlabel("dose: how often the direction is added")
    ax.set_ylabel(LABELS.get(outcome, "answers (%)"))
    parts = [model_of(shown), n_of(shown), interval_of(shown)]
    heading(ax, "Steering", parts, handles)
    return ax
