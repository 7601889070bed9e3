"""Paired bars: a thought's importance and its share of attention, on one axis and one scale."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure, SubFigure

from cot_attn.plots.bars import draw_bars, numbers_fit, write_numbers
from cot_attn.plots.colours import ATTENTION, IMPORTANCE
from cot_attn.plots.headings import heading
from cot_attn.plots.layers import chosen_layers
from cot_attn.plots.style import (
    NARROW,
    PAGE,
    axes_on,
    axes_or_new,
    figure,
    style,
    width_of,
)
from cot_attn.plots.summaries import Values, model_of, require_dims, scalar_label, summary
from cot_attn.plots.units import count, percent_only, short

WIDTH = 0.44


@style()
def importance_beside_attention(
    importance: xr.Dataset,
    shares: Values,
    *,
    total: Values | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each thought's importance beside its share of attention: one axis, one scale, percent.

    Parameters
    ----------
    importance
        Over (thought), from `stats.importance` with its default outcome.
    shares
        (problem, thought[, head]) of one layer, from `stats.share`, or a Dataset over (thought)
        with the means.
    total
        The attention on all thoughts together, for the subtitle: (problem[, head]), from
        `stats.sequence_attention(...).sum("thought")`, or a Dataset with its mean.
    ax
        Where to draw; by default, on a new figure of a column's width. On axes that share y, the
        highest bar of all sets the limit.

    Raises
    ------
    ValueError
        If the importance is not a part of a whole (a KL, say), or the thoughts differ.
    """
    broken, looked = _joined(importance, summary(shares, ("thought",), "shares"))
    ax = axes_or_new(ax, height=2.4)
    handles = _draw(ax, broken, looked)
    layer = scalar_label(looked, "layer")
    model = model_of(looked) or model_of(broken)
    title = "Importance and attention" + (f", {layer}" if layer else "")
    heading(ax, title, [model, _n(broken), _on_thoughts(total)], legend=handles)
    _write_numbers([ax], [(broken, looked)])
    return ax


@style()
def importance_beside_attention_by_layer(
    importance: xr.Dataset,
    shares: Values,
    *,
    totals: Values | None = None,
    layers: Sequence[int] | None = None,
    fig: Figure | SubFigure | None = None,
) -> Shaped[np.ndarray, "model layer"]:
    """Draw `importance_beside_attention` for several layers, and models, all on the same scale.

    Parameters
    ----------
    importance
        Over (thought[, model]).
    shares
        (problem, layer, thought[, head, model]), or a Dataset over (layer, thought[, model]).
    totals
        The same without `thought`.
    layers
        Which layers; by default an early, a middle and the last one of each model.
    fig
        Where to draw; by default, on a new figure of a page's width. On one narrower than five
        inches all panels stand one above the other.

    Returns
    -------
    Array of Axes
        (model, layer), or (1, layer) where there is no `model` dimension. None where a model has
        fewer layers to show than another.
    """
    by_model = ("model",) if "model" in importance.dims else ()
    require_dims(importance["estimate"], (*by_model, "thought"), "importance")
    looked = summary(shares, (*by_model, "layer", "thought"), "shares")
    on_thoughts = None if totals is None else summary(totals, (*by_model, "layer"), "totals")
    models = [{"model": model} for model in importance["model"].values] if by_model else [{}]
    chosen = [chosen_layers(looked["estimate"].sel(model), layers) for model in models]
    n_columns = max(map(len, chosen))
    fig = fig or figure(PAGE, 0.5 + 1.8 * len(models))
    panels = np.full((len(models), n_columns), None, dtype=object)
    stacked = width_of(fig) < NARROW
    n_panels = sum(map(len, chosen))
    shape = (n_panels, 1) if stacked else (len(models), n_columns)
    grid = axes_on(fig, *shape, sharey=True)
    free = iter(grid.flat)
    drawn, pairs = [], []
    for row, model in enumerate(models):
        for column, layer in enumerate(chosen[row]):
            ax = panels[row, column] = next(free)
            here = {**model, "layer": layer}
            pairs.append(_joined(importance.sel(model), looked.sel(here)))
            handles = _draw(ax, *pairs[-1])
            total = None if on_thoughts is None else on_thoughts.sel(here)
            name = f"{model['model']}, layer {layer}" if model else f"Layer {layer}"
            heading(ax, name, [_on_thoughts(total)])
            ax.label_outer()
            drawn.append(ax)
        for _ in range(0 if stacked else n_columns - len(chosen[row])):
            next(free).remove()
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=1 if stacked else 2,
        title=_n(importance),
        title_fontsize=6.5,
    )
    _write_numbers(drawn, pairs)  # last: only now is every panel as wide as it will be
    return panels


def _joined(importance: xr.Dataset, looked: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    percent_only(importance)
    broken = summary(importance, ("thought",), "importance")
    thoughts = broken["thought"].values
    if set(thoughts) != set(looked["thought"].values):
        raise ValueError(
            f"importance is of thoughts {thoughts.tolist()} and shares are of "
            f"{looked['thought'].values.tolist()}; they must be the same."
        )
    return broken, looked.sel(thought=thoughts)


def _draw(ax: Axes, broken: xr.Dataset, looked: xr.Dataset) -> list[BarContainer]:
    thoughts = broken["thought"].values
    at = np.arange(len(thoughts), dtype=float)
    bars = []
    for result, side, colour, label in (
        (broken, -WIDTH / 2, IMPORTANCE, "importance (answers broken)"),
        (looked, WIDTH / 2, ATTENTION, "share of attention on thoughts"),
    ):
        numbers = [100 * result[name].values for name in ("estimate", "low", "high")]
        colours = [colour] * len(at)
        bars.append(draw_bars(ax, at + side, *numbers, width=WIDTH, colours=colours, label=label))
    ax.set_xlim(-0.5, len(thoughts) - 0.5)
    ax.set_xticks(at, [str(thought) for thought in thoughts])
    ax.set_xlabel("thought")
    ax.set_ylabel("%")
    return bars


def _write_numbers(panels: Sequence[Axes], pairs: Sequence[tuple[xr.Dataset, xr.Dataset]]) -> None:
    at = np.arange(pairs[0][0].sizes["thought"], dtype=float)
    places = np.concatenate([at - WIDTH / 2, at + WIDTH / 2])
    numbers = [
        [
            100 * np.concatenate([broken[name].values, looked[name].values])
            for name in ("estimate", "high")
        ]
        for broken, looked in pairs
    ]
    # All upright, or none: panels are compared.
    fit = all(numbers_fit(ax, n[0], WIDTH) for ax, n in zip(panels, numbers, strict=True))
    for ax, (estimate, high) in zip(panels, numbers, strict=True):
        write_numbers(ax, places, estimate, high, upright=not fit)


def _n(importance: xr.Dataset) -> str | None:
    return count(importance["n_problems"]) if "n_problems" in importance else None


def _on_thoughts(total: Values | None) -> str | None:
    if total is None:
        return None
    part = summary(total, (), "total")
    estimate, low, high = (100 * float(part[name]) for name in ("estimate", "low", "high"))
    sure = "" if np.isnan(low) else f" ({short(low)} to {short(high)})"
    return f"attention on thoughts {short(estimate)} %{sure}"
