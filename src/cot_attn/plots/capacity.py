"""How quantities move with the size of models, seeds as points and families by colour."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from cot_attn.plots._headings import heading
from cot_attn.plots._points import draw_points
from cot_attn.plots._summaries import interval_of, n_of, summary
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import series

MODELS = "model"
SEEDS_APART = 0.02  # of a decade


@style()
def quantity_by_size(
    quantity: xr.Dataset,
    trend: xr.Dataset | None = None,
    *,
    label: str = "",
    factor: float | int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw a quantity of each model against its number of parameters, families by colour.

    A line joins the means of a family's sizes; each model (each seed) is a point of its own.

    Parameters
    ----------
    quantity
        `estimate`, `low`, `high` over `model`, with the coordinates `n_parameters` and `family`.
    trend
        What `stats.trend_over` says of it, for the subtitle.
    label
        What the axis says.
    factor
        What values are multiplied by to be shown, such as 100 for percent.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Raises
    ------
    ValueError
        Where a coordinate is missing.
    """
    shown = _of_models(quantity, "quantity")
    ax = axes_or_new(ax, height=2.5)
    handles: list[Artist] = []
    for index, (family, models) in enumerate(_families(shown)):
        look = series(index)
        sizes = np.log10(models["n_parameters"].values.astype(float))
        low, estimate, high = (factor * models[name].values for name in ("low", "estimate", "high"))
        x = 10 ** (sizes + SEEDS_APART * _rank_within_size(sizes) + 0.007 * index)
        draw_points(ax, x, estimate, low, high, colour=look.color, marker=look.marker, label="")
        means = _means_of_sizes(sizes, sizes, estimate)
        (line,) = ax.plot(10 ** means[0], means[1], color=look.color, linestyle=look.linestyle)
        line.set_label(family)
        line.set_marker("")
        handles.append(line)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("parameters")
    ax.set_ylabel(label or str(quantity.attrs.get("long_name", "")))
    subtitle = [
        f"{shown.sizes[MODELS]} models",
        n_of(shown),
        interval_of(shown),
        None if trend is None else _trend(trend, factor),
    ]
    heading(ax, f"{_upper(ax.get_ylabel())} by size", subtitle, handles)
    return ax


@style()
def strategies_by_size(
    importance: xr.Dataset, attention: xr.Dataset, *, ax: Axes | None = None
) -> Axes:
    """Draw on how few thoughts importance and attention gather, models' sizes joined.

    Parameters
    ----------
    importance, attention
        `estimate`, `low`, `high` over `model`: effective numbers of thoughts, as
        `stats.importance_concentration` and `stats.concentration` measure them. With the
        coordinates `n_parameters` and `family`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    across, up = _of_models(importance, "importance"), _of_models(attention, "attention")
    if other := set(across[MODELS].values) ^ set(up[MODELS].values):
        raise ValueError(
            f"importance and attention are of different models: {sorted(map(str, other))} are in "
            "one of them. Give both of the same models."
        )
    ax = axes_or_new(ax, height=2.9)
    handles: list[Artist] = []
    for index, (family, models) in enumerate(_families(across)):
        look, beside = series(index), up.sel(model=models[MODELS].values)
        sizes = np.log10(models["n_parameters"].values.astype(float))
        x, y = models["estimate"].values, beside["estimate"].values
        ax.hlines(y, models["low"], models["high"], color=look.color, linewidth=0.3, alpha=0.5)
        ax.vlines(x, beside["low"], beside["high"], color=look.color, linewidth=0.3, alpha=0.5)
        marks = 4 + 22 * (sizes - sizes.min()) / max(float(np.ptp(sizes)), 1e-9)
        ax.scatter(x, y, s=marks, color=look.color, marker=look.marker, linewidth=0, zorder=3)
        x_of, y_of = _means_of_sizes(sizes, x, y)
        (line,) = ax.plot(x_of, y_of, color=look.color, linestyle=look.linestyle, marker="")
        line.set_label(f"{family}, small to large")
        handles.append(line)
    ax.set_xlabel("effective number of thoughts, importance")
    ax.set_ylabel("effective number of thoughts, attention")
    subtitle = [
        f"{across.sizes[MODELS]} models",
        n_of(across),
        interval_of(across),
        "larger marks: more parameters",
    ]
    heading(ax, "Strategy by size", subtitle, handles)
    return ax


def _of_models(values: xr.Dataset, what: str) -> xr.Dataset:
    shown = summary(values, (MODELS,), what)
    for name in ("n_parameters", "family"):
        if name not in shown.coords or shown[name].dims != (MODELS,):
            raise ValueError(
                f"{what} lacks the coordinate {name!r} along 'model'. Add it: "
                f".assign_coords({name}=('model', [...]))."
            )
    return shown


def _families(shown: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Return each family's models, small to large."""
    names = list(dict.fromkeys(str(name) for name in shown["family"].values))
    return [
        (name, shown.isel(model=shown["family"].values == name).sortby("n_parameters"))
        for name in names
    ]


def _means_of_sizes(sizes: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    """Average over the models of each size; those without a value are left out."""
    rows = []
    for size in np.unique(sizes):
        here = [each[sizes == size] for each in values]
        if all(np.isfinite(each).any() for each in here):
            rows.append([float(np.nanmean(each)) for each in here])
    return list(np.array(rows).reshape(-1, len(values)).T)


def _rank_within_size(sizes: np.ndarray) -> np.ndarray:
    """Count the models of each size from the middle, so that their intervals stand apart."""
    rank = np.zeros(len(sizes))
    for size in np.unique(sizes):
        here = np.flatnonzero(sizes == size)
        rank[here] = np.arange(len(here)) - (len(here) - 1) / 2
    return rank


def _trend(trend: xr.Dataset, factor: float | int) -> str:
    low, estimate, high = (factor * float(trend[name]) for name in ("low", "estimate", "high"))
    if not np.isfinite(estimate):
        return str(trend["reason"].item())
    return f"{estimate:+.2g} [{low:.2g}, {high:.2g}] for ten times the size"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
