"""A matrix: which thoughts each problem needs, problems in order of difficulty."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._heatmap import add_scale, label_ticks
from cot_attn.plots._summaries import model_of, require_dims
from cot_attn.plots.canvas import INK, axes_or_new, style
from cot_attn.plots.colours import IMPORTANCE_MAP


@style()
def importance_by_problem(failure: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw for every problem (across) and thought (up) whether corrupting it broke the answer.

    Problems stand in the order of their difficulty and, among equally difficult ones, of their
    outcomes. Those that were answered wrong before are left out, and the subtitle says how many.

    Parameters
    ----------
    failure
        (problem, thought), for instance `effects.failed.mean("corruption")`, with `difficulty`
        along the problems where it is known.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> failure = xr.DataArray([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]], dims=("problem", "thought"))
    >>> ax = importance_by_problem(failure.assign_coords(problem=["a", "b", "c"], thought=[0, 1]))
    >>> ax.images[0].get_array().shape  # a column a problem, a row a thought
    (2, 3)
    """
    require_dims(failure, ("problem", "thought"), "failure")
    failures = in_drawn_order(failure)
    n_left_out = failure.sizes["problem"] - failures.sizes["problem"]
    if not failures.sizes["problem"]:
        raise ValueError(
            "Every value of failure is missing: no problem was answered right before thoughts were "
            "corrupted, so there is nothing to break."
        )
    difficulty = np.full(failures.sizes["problem"], np.nan)
    if "difficulty" in failures.coords:
        difficulty = failures["difficulty"].values.astype(float)
    ax = axes_or_new(ax, height=1.9)
    n_problems, n_thoughts = failures.shape
    image = ax.imshow(
        100 * failures.values.T,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap=IMPORTANCE_MAP,
        vmin=0,
        vmax=100,
        extent=(0, n_problems, -0.5, n_thoughts - 0.5),
    )
    label_ticks(ax, "y", list(failures["thought"].values))
    ax.set_ylabel("thought corrupted")
    _label_difficulties(ax, difficulty)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    add_scale(image, ax, "answers broken (%)", (0, 25, 50, 75, 100))
    left_out = f"{n_left_out} wrong before, left out" if n_left_out else None
    subtitle = [model_of(failure), f"{n_problems} problems", left_out]
    heading(ax, "Importance by problem and thought", subtitle)
    return ax


def in_drawn_order(failure: xr.DataArray) -> xr.DataArray:
    """Return the problems that could break, by difficulty and then by outcome."""
    failures = failure.transpose("problem", "thought").dropna("problem", how="all")
    difficulty = np.full(failures.sizes["problem"], np.nan)
    if "difficulty" in failures.coords:
        difficulty = failures["difficulty"].values.astype(float)
    outcomes = -failures.values.T[::-1]
    return failures[np.lexsort((*outcomes, np.nan_to_num(difficulty, nan=np.inf)))]


def _label_difficulties(ax: Axes, difficulty: np.ndarray) -> None:
    """Draw lines between difficulties and name each under the middle of its problems."""
    values, first, counts = np.unique(
        np.nan_to_num(difficulty, nan=np.inf), return_index=True, return_counts=True
    )
    if len(values) == 1:
        ax.set_xticks([])
        ax.set_xlabel("problems")
        return
    for boundary in first[1:]:
        ax.axvline(boundary, color=INK, linewidth=0.6)
    names = ["?" if np.isinf(value) else f"{value:g}" for value in values]
    ax.set_xticks(first + counts / 2, names)
    ax.set_xlabel("problems, by difficulty")
