"""Correlations with their intervals round a zero line: by thought, and by layer."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cot_attn.plots._headings import heading
from cot_attn.plots._summaries import interval_of, model_of, n_of, scalar_label, summary
from cot_attn.plots._text import text_width
from cot_attn.plots._units import signed
from cot_attn.plots.canvas import FAINT, INK, SMALL, axes_or_new, axes_size, style
from cot_attn.plots.colours import series, thought_colour, thought_marker

LEVEL = 0.05
SMALLEST_REACH = 0.1  # the axis shows at least this much on both sides of zero
DISTANCE = 6.0  # points that the axis leaves for what lies between a number and its interval
ESTIMANDS = {
    "pooled": "pooled",
    "between_thoughts": "between thoughts",
    "within_problem": "within problems",
    "within_thought": "within each thought",
}


@style()
def correlation_by_thought(correlation: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw each thought's correlation of attention with importance, with its interval.

    Filled markers have q < 0.05 (p where there is no q); a thought whose correlation is not
    defined is marked n/a.

    Parameters
    ----------
    correlation
        Over (thought), from `stats.correlate(..., estimand="within_thought")` for one layer.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> found = {"estimate": [-0.1, 0.6], "low": [-0.4, 0.3], "high": [0.2, 0.8], "q": [0.7, 0.01]}
    >>> values = {name: ("thought", numbers) for name, numbers in found.items()}
    >>> correlation_by_thought(xr.Dataset(values, coords={"thought": [0, 1]})).get_xlabel()
    'thought'
    """
    shown = summary(correlation, ("thought",), "correlation")
    ax = axes_or_new(ax)
    thoughts = [int(thought) for thought in shown["thought"].values]
    positions = np.arange(len(thoughts), dtype=float)
    ax.vlines(positions, shown["low"], shown["high"], color=INK, linewidth=1.0, zorder=2)
    for x, thought in zip(positions, thoughts, strict=True):
        here = shown.sel(thought=thought)
        _mark(ax, float(x), here, thought_colour(thought), thought_marker(thought))
    ax.set_xlim(-0.6, len(thoughts) - 0.4)
    ax.set_xticks(positions, [str(thought) for thought in thoughts])
    ax.set_xlabel("thought")
    _limits(ax, shown, room=0.03)  # the heading is fitted to the axes beside their labels
    _dress(ax, shown, "by thought", [_estimand(shown), scalar_label(shown, "layer")])
    across, up = axes_size(ax)
    longest = max(text_width(signed(float(r)), SMALL) for r in shown["estimate"])
    upright = bool(longest + 2 > across / (len(thoughts) + 0.2))  # as wide as `set_xlim` above
    _limits(ax, shown, room=min((longest if upright else 1.2 * SMALL) + DISTANCE, 0.3 * up) / up)
    for x, thought in zip(positions, thoughts, strict=True):
        _write(ax, float(x), shown.sel(thought=thought), upright=upright)
    return ax


@style()
def correlation_by_layer(correlation: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the correlation of attention with importance at each layer, with its interval.

    Filled markers have q < 0.05 (p where there is no q); a layer without any correlation is marked
    n/a.

    Parameters
    ----------
    correlation
        Over (layer), from `stats.correlate`. One further dimension (estimand, thought, model)
        gives a line for each of its labels.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> found = {"estimate": [-0.1, 0.6], "low": [-0.4, 0.3], "high": [0.2, 0.8], "q": [0.7, 0.01]}
    >>> values = {name: ("layer", numbers) for name, numbers in found.items()}
    >>> correlation_by_layer(xr.Dataset(values, coords={"layer": [0, 1]})).get_xlabel()
    'layer'
    """
    further = [str(dim) for dim in correlation["estimate"].dims if dim != "layer"][:1]
    shown = summary(correlation, (*further, "layer"), "correlation")
    ax = axes_or_new(ax)
    layers = shown["layer"].values
    lines = [shown]
    if further:
        lines = [shown.isel({further[0]: index}) for index in range(shown.sizes[further[0]])]
    apart = min(0.14, 0.7 / len(lines))  # side by side, so that no interval hides another
    handles = []
    for index, line in enumerate(lines):
        colour, stroke, marker = series(index)
        if further == ["thought"]:
            thought = int(line["thought"])
            colour, marker = thought_colour(thought), thought_marker(thought)
        positions = layers + apart * (index - (len(lines) - 1) / 2)
        ax.plot(
            positions, line["estimate"], color=colour, linestyle=stroke, linewidth=0.7, zorder=2
        )
        ax.vlines(positions, line["low"], line["high"], color=colour, linewidth=1.0, zorder=2)
        for x, layer in zip(positions, layers, strict=True):
            _mark(ax, float(x), line.sel(layer=layer), colour, marker)
        if further:
            label = _line_label(line, further[0])
            handles.append(
                Line2D([], [], color=colour, linestyle=stroke, marker=marker, label=label)
            )
    ax.set_xticks(layers[:: -(-len(layers) // 16)])
    ax.set_xlim(layers.min() - 0.5, layers.max() + 0.5)
    ax.set_xlabel("layer")
    _limits(ax, shown, room=0.03)
    _dress(ax, shown, "by layer", [None if further else _estimand(shown)], handles)
    undefined = shown["estimate"].isnull().all(further).values
    for layer in layers[undefined]:
        ax.annotate(
            "n/a",
            (layer, 0),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=FAINT,
        )
    return ax


def _mark(ax: Axes, x: float, result: xr.Dataset, colour: str, marker: str) -> None:
    """Draw one estimate, filled where it is told apart from 0."""
    test = _test(result)
    found = test is None or float(result[test]) < LEVEL
    ax.plot(
        x,
        float(result["estimate"]),
        linestyle="none",
        marker=marker,
        markersize=4.5,
        markerfacecolor=colour if found else "white",
        markeredgecolor=colour,
        zorder=3,
    )


def _test(result: xr.Dataset) -> str | None:
    return next((name for name in ("q", "p") if name in result), None)


def _dress(
    ax: Axes,
    shown: xr.Dataset,
    by: str,
    subtitle: list[str | None],
    legend: Sequence[Line2D] = (),
) -> None:
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    method = str(shown.attrs.get("method", "pearson"))
    ax.set_ylabel("Spearman's rank correlation" if method == "spearman" else "Pearson's r")
    test = _test(shown)
    parts = [
        model_of(shown),
        *subtitle,
        n_of(shown),
        interval_of(shown),
        f"filled: {test} < {LEVEL}" if test else None,
    ]
    heading(ax, f"Attention with importance, {by}", parts, legend)


def _limits(ax: Axes, shown: xr.Dataset, room: float) -> None:
    """Show zero and every interval, with a part of the axis left free at both ends."""
    ends = np.stack([shown[name].values for name in ("estimate", "low", "high")])
    lowest, highest = (float(pick(np.nan_to_num(ends))) for pick in (np.min, np.max))
    lowest, highest = min(lowest, -SMALLEST_REACH), max(highest, SMALLEST_REACH)
    free = room * (highest - lowest) / (1 - 2 * room)
    ax.set_ylim(lowest - free, highest + free)


def _estimand(shown: xr.Dataset) -> str | None:
    estimand = str(shown.attrs.get("estimand", ""))
    return ESTIMANDS.get(estimand, estimand) or None


def _line_label(line: xr.Dataset, dim: str) -> str:
    label = str(line[dim].item())
    return f"thought {label}" if dim == "thought" else ESTIMANDS.get(label, label)


def _write(ax: Axes, x: float, result: xr.Dataset, *, upright: bool) -> None:
    """Write r beyond the end of its interval that points away from zero."""
    estimate = float(result["estimate"])
    ends = [float(result[name]) for name in ("estimate", "low", "high")]
    ends = [end for end in ends if np.isfinite(end)]
    above = not ends or estimate >= 0
    y = (max(ends) if above else min(ends)) if ends else 0.0
    ax.annotate(
        signed(estimate),
        (x, y),
        xytext=(0, 4 if above else -4),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        rotation=90 if upright else 0,
        fontsize=SMALL,
        color=INK if ends else FAINT,
    )
