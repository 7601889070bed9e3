"""What the answer becomes when a thought of another problem stands in its place."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._points import CHANCE, draw_points
from cot_attn.plots._summaries import interval_of, model_of, scalar_label, summary
from cot_attn.plots._units import count
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import IMPORTANCE, series

APART = 0.2
PREDICTED, SOURCES = "predicted", "the source's"


def expected_outcome(accuracy: xr.Dataset) -> str:
    """Return which answer is looked for: the predicted one, or the source's where none was."""
    predicted = accuracy["estimate"].sel(outcome=PREDICTED)
    return SOURCES if predicted.isnull().all() else PREDICTED


@style()
def interchange_by_thought(accuracy: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how often the answer becomes the predicted one, thought by thought, beside chance.

    Where nothing was predicted, the source's own answer is in the predicted one's place. Chance is
    a random vector in the source's place, of its norm and with the thoughts' covariance.

    Parameters
    ----------
    accuracy
        Over (outcome, thought, vector) for one prediction and site, from
        `stats.interchange_accuracy(...).sel(prediction="changes", site="input")`, or "unknown".
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(accuracy, ("outcome", "thought", "vector"), "accuracy")
    ax = axes_or_new(ax, height=2.4)
    thoughts = [int(thought) for thought in shown["thought"].values]
    x = np.arange(len(thoughts), dtype=float)
    handles = []
    looked_for = expected_outcome(shown)
    drawn = (
        (looked_for, "source", IMPORTANCE, "o", f"{looked_for} answer"),
        ("the base's own", "source", series(2).color, "s", "still the base's own"),
        (looked_for, "random", CHANCE, "^", f"{looked_for} answer, random vector"),
    )
    for index, (outcome, vector, colour, marker, label) in enumerate(drawn):
        line = shown.sel(outcome=outcome, vector=vector)
        estimate, low, high = (100 * line[name].values for name in ("estimate", "low", "high"))
        handles.append(
            draw_points(
                ax,
                x + APART * (index - 1),
                estimate,
                low,
                high,
                colour=colour,
                marker=marker,
                label=label,
            )
        )
    ax.set_xlim(-0.6, len(thoughts) - 0.4)
    ax.set_ylim(-3, 103)
    ax.set_xticks(x, [str(thought) for thought in thoughts])
    ax.set_xlabel("thought taken from another problem")
    ax.set_ylabel("pairs (%)")
    n_pairs = count(shown["n_pairs"], "pairs") if "n_pairs" in shown else None
    site = scalar_label(shown, "site")
    parts = [model_of(shown), site, n_pairs, interval_of(shown)]
    heading(ax, "Answers after an interchange", parts, handles)
    return ax
