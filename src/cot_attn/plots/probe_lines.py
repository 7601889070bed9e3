"""Lines: what a probe reads, beside what it reads of nothing and of the question alone."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cot_attn.plots._headings import heading
from cot_attn.plots._summaries import interval_of, model_of, require_dims, scalar_label
from cot_attn.plots._units import count
from cot_attn.plots.canvas import FAINT, axes_or_new, style
from cot_attn.plots.colours import series
from cot_attn.plots.lens_maps import across_label, short_places


class Beside(NamedTuple):
    """A line beside the probe's: what is drawn, its name, its look."""

    name: str
    label: str
    look: int


LINES = (
    Beside("question_only", "question only (BOT)", 1),
    Beside("control", "control task", 2),
)


@style()
def probe_accuracy(found: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how well a probe reads a label, with its control task and what the question says alone.

    Parameters
    ----------
    found
        From `readouts.probe`, along its layers or along its places: `.sel(place="thought 1")` or
        `.sel(layer=3)`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    measure = str(found.attrs.get("measure", "accuracy"))
    if measure not in found:
        raise ValueError(
            f"found has no {measure!r}; it has {sorted(map(str, found.data_vars))}. Give what "
            "readouts.probe returns."
        )
    dims = found[measure].dims
    if len(dims) != 1:
        raise ValueError(
            f"found has the dimensions {dims}; this figure shows one of them. Choose one of each "
            "other, such as .sel(layer=3)."
        )
    across = str(dims[0])
    require_dims(found[measure], (across,), "found")
    labels = [str(label) for label in found[across].values]
    labels = labels if across == "layer" else short_places(labels)
    ax = axes_or_new(ax)
    x = np.arange(len(labels))
    low, score, high = (100 * found[name].values for name in ("low", measure, "high"))
    look = series(0)
    ax.fill_between(x, low, high, color=look.color, alpha=0.18, linewidth=0)
    ax.plot(x, score, **look._asdict())
    handles = [Line2D([], [], **look._asdict(), label="probe")]
    for name, label, number in LINES:
        values = 100 * found[name].values
        if np.isfinite(values).any():
            look = series(number)
            ax.plot(x, values, **look._asdict())
            handles.append(Line2D([], [], **look._asdict(), label=label))
    if measure == "accuracy":
        # Drawn as a line of its own, since places may differ in who has a label.
        chance = 100 * found["chance"].values
        ax.plot(x, chance, color=FAINT, linewidth=0.6, label="commonest class")
        handles.append(Line2D([], [], color=FAINT, linewidth=0.6, label="commonest class"))
        ax.set_ylim(0, 104)  # so that what is at 100 is seen whole
    step = -(-len(labels) // 16)
    ax.set_xticks(x[::step], labels[::step])
    ax.set_xlabel("layer" if across == "layer" else across_label(across))
    ax.set_ylabel("accuracy (%)" if measure == "accuracy" else "R² (%)")
    where = scalar_label(found, "layer") if across != "layer" else _place(found)
    parts = [model_of(found), _label(found), where, count(found["n_problems"]), interval_of(found)]
    heading(ax, "What a probe reads", parts, handles)
    return ax


def _label(found: xr.Dataset) -> str | None:
    return str(found.attrs["label"]) if "label" in found.attrs else None


def _place(found: xr.Dataset) -> str | None:
    if "place" in found.coords and not found["place"].ndim:
        return str(found["place"].item())
    return None
