"""Points: how much attention a thought got, and whether corrupting it broke the answer."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from cot_attn.plots._headings import (
    SLACK,
    SUBTITLE_SIZE,
    by_rows,
    columns_that_fit,
    figure_heading,
)
from cot_attn.plots._layers import chosen_layers
from cot_attn.plots._summaries import model_of, require_dims
from cot_attn.plots._units import p_value, signed
from cot_attn.plots.canvas import FAINT, INK, NARROW, PAGE, axes_on, figure, style, width_of
from cot_attn.plots.colours import thought_colour, thought_marker
from cot_attn.plots.correlation import ESTIMANDS
from cot_attn.stats import join_by_label

JITTER = 0.22  # of the distance between two possible outcomes
MOST_JITTER = 8.0  # percentage points
LEGEND_HANDLE = 20.0  # points: a marker and the space round it
MOST_LEVELS = 25  # with more different outcomes there is nothing to spread


@style()
def attention_against_importance(
    shares: xr.DataArray,
    failure: xr.DataArray,
    correlations: xr.Dataset | None = None,
    *,
    line: xr.Dataset | None = None,
    layers: Sequence[int] | None = None,
    fig: Figure | SubFigure | None = None,
) -> Shaped[np.ndarray, " layer"]:
    """Draw each problem's thoughts by attention (across) and broken answers (up), a panel a layer.

    Outcomes that take few values (broken or not) are spread a little, up and down, so that
    density can be seen; what is spread is the drawing, the numbers are not touched.

    Parameters
    ----------
    shares
        (problem, layer, thought[, head]), from `stats.share`; averaged over heads here.
    failure
        (problem, thought), for instance `effects.failed.mean("corruption")`. Where it is missing
        no point is drawn.
    correlations
        Over (layer[, estimand]), from `stats.correlate`; written above the panels with p.
    line
        A fitted line with its band: `estimate`, `low`, `high` over (layer, share), where the
        coordinate `share` holds the fractions at which it was evaluated.
    layers
        Which layers; by default all where they are few, else an early, a middle and the
        last one.
    fig
        Where to draw; by default, on a new figure of a page's width. On one narrower than five
        inches the panels stand one above the other.

    Returns
    -------
    Array of Axes
        One a layer.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> dims = ("problem", "layer", "thought")
    >>> shares = xr.DataArray(np.random.default_rng(0).dirichlet(np.ones(6), (9, 4)), dims=dims)
    >>> shares = shares.assign_coords(problem=range(9), layer=range(4), thought=range(6))
    >>> failure = (shares.isel(layer=3, drop=True) > 0.2).astype(float)
    >>> panels = attention_against_importance(shares, failure, layers=[0, 3])
    >>> len(panels)
    2
    """
    looked = shares.mean("head") if "head" in shares.dims else shares
    require_dims(looked, ("problem", "layer", "thought"), "shares")
    require_dims(failure, ("problem", "thought"), "failure")
    looked, broken = join_by_label(looked, failure, names=("shares", "failure"))
    looked = looked.transpose("layer", "problem", "thought")
    broken = broken.transpose("problem", "thought")
    chosen = chosen_layers(looked, layers)
    fig = fig or figure(PAGE, 2.7)
    stacked = width_of(fig) < NARROW
    shape = (len(chosen), 1) if stacked else (1, len(chosen))
    panels = axes_on(fig, *shape, sharex=True, sharey=True).ravel()
    spread = _spread(100 * broken.values)
    thoughts = [int(thought) for thought in broken["thought"].values]
    for layer, ax in zip(chosen, panels, strict=True):
        attended = 100 * looked.sel(layer=layer).values
        for column, thought in enumerate(thoughts):
            ax.plot(
                attended[:, column],
                spread[:, column],
                thought_marker(thought),
                color=thought_colour(thought),
                markersize=2.6,
                markeredgewidth=0,
                alpha=0.65,
                zorder=2,
            )
        if line is not None:
            _draw_line(ax, line.sel(layer=layer))
        widest = 100 * float(looked.sel(layer=chosen).max())
        ax.set_xlim(0, 1.03 * widest if widest > 0 else 100)  # NaN where no row has any
        ax.set_ylim(-14, 114)
        ax.set_yticks([0, 25, 50, 75, 100])
        ax.set_xlabel("share of attention (%)")
        ax.set_ylabel("answers broken (%)")
        ax.label_outer()
        written = [] if correlations is None else _written(correlations.sel(layer=layer))
        for place, text in enumerate(reversed(written)):
            ax.annotate(
                text,
                (0, 1),
                xycoords="axes fraction",
                xytext=(0, 3 + 8.5 * place),
                textcoords="offset points",
                fontsize=6,
                color=FAINT,
            )
        ax.set_title(f"Layer {layer}", loc="left", pad=4 + 8.5 * len(written))
    n = int(broken.notnull().all("thought").sum())
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=thought_marker(thought),
            color=thought_colour(thought),
            markeredgewidth=0,
            label=str(thought),
        )
        for thought in thoughts
    ]
    _legend(fig, handles, n)
    figure_heading(fig, "Attention against importance", model_of(shares))
    return panels


def _spread(percent: Float[np.ndarray, "problem thought"]) -> Float[np.ndarray, "problem thought"]:
    """Move outcomes up or down a little, if they take few values; always by the same amounts."""
    levels = np.unique(percent[np.isfinite(percent)])
    if not 2 <= len(levels) <= MOST_LEVELS:
        return percent
    reach = min(JITTER * float(np.diff(levels).min()), MOST_JITTER)
    return percent + np.random.default_rng(0).uniform(-reach, reach, percent.shape)


def _draw_line(ax: Axes, line: xr.Dataset) -> None:
    percent, low, high = 100 * line["share"], 100 * line["low"], 100 * line["high"]
    ax.fill_between(percent, low, high, color=INK, alpha=0.18, linewidth=0, zorder=3)
    ax.plot(percent, 100 * line["estimate"], color=INK, linewidth=1.2, zorder=4)


def _written(correlations: xr.Dataset) -> list[str]:
    """Write each estimand's correlation with its p, the within-problem one first."""
    if "estimand" not in correlations.dims:
        estimand = str(correlations.attrs.get("estimand", "correlation"))
        correlations = correlations.drop_vars("estimand", errors="ignore")
        correlations = correlations.expand_dims(estimand=[estimand])
    require_dims(correlations["estimate"], ("estimand",), "correlations")
    estimands = [str(estimand) for estimand in correlations["estimand"].values]
    lines = []
    for estimand in sorted(estimands, key=lambda name: name != "within_problem"):
        result = correlations.sel(estimand=estimand)
        r, p = signed(float(result["estimate"])), p_value(float(result["p"]))
        lines.append(f"{ESTIMANDS.get(estimand, estimand)}: r = {r}, {p}")
    return lines


def _legend(fig: Figure | SubFigure, handles: list[Line2D], n: int) -> None:
    labels = [str(handle.get_label()) for handle in handles]
    columns = columns_that_fit(labels, 72 * width_of(fig) - 2 * SLACK, handle=LEGEND_HANDLE)
    fig.legend(
        handles=by_rows(handles, columns),
        title=f"thought ({n} problems)",
        title_fontsize=SUBTITLE_SIZE,
        loc="outside lower center",
        ncols=columns,
        handletextpad=0.1,
        columnspacing=0.9,
    )
