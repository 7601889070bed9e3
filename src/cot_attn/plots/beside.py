"""Paired bars: a thought's importance and its share of attention, on one axis and one scale."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure, SubFigure

from cot_attn.plots._headings import SLACK, SUBTITLE_SIZE, figure_heading, heading
from cot_attn.plots._layers import chosen_layers
from cot_attn.plots._paired_bars import Pair, Side, draw_pair, same_thoughts, write_pairs
from cot_attn.plots._summaries import (
    Values,
    interval_of,
    model_of,
    n_of,
    require_dims,
    scalar_label,
    summary,
)
from cot_attn.plots._text import wrapped
from cot_attn.plots._units import percent_only, short
from cot_attn.plots.canvas import (
    FAINT,
    NARROW,
    PAGE,
    axes_on,
    axes_or_new,
    axes_sizes,
    figure,
    style,
    width_of,
)
from cot_attn.plots.colours import ATTENTION, IMPORTANCE


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

    Examples
    --------
    >>> import xarray as xr
    >>> def rates(*estimate):
    ...     values = {name: ("thought", list(estimate)) for name in ("estimate", "low", "high")}
    ...     return xr.Dataset(values, coords={"thought": range(len(estimate))})
    >>> ax = importance_beside_attention(rates(0.2, 0.5), rates(0.9, 0.1))
    >>> [float(bar.get_height()) for bar in ax.patches]
    [20.0, 50.0, 90.0, 10.0]
    """
    pair = _pair(importance, summary(shares, ("thought",), "shares"))
    broken, looked = (side.result for side in pair)
    ax = axes_or_new(ax, height=2.4)
    handles = _draw(ax, pair)
    layer = scalar_label(looked, "layer")
    model = model_of(looked) or model_of(broken)
    title = "Importance and attention" + (f", {layer}" if layer else "")
    heading(
        ax, title, [model, n_of(broken), interval_of(broken), _on_thoughts(total)], legend=handles
    )
    write_pairs([ax], [pair])
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
        Which layers; by default all of each model where they are few, else an early, a
        middle and the last one.
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
    models = [{"model": str(model)} for model in importance["model"].values] if by_model else [{}]
    chosen = [chosen_layers(looked["estimate"].sel(model), layers) for model in models]
    n_columns = max(map(len, chosen))
    fig = fig or figure(PAGE, 0.7 + 1.9 * len(models))
    panels = np.full((len(models), n_columns), None, dtype=object)
    stacked = width_of(fig) < NARROW
    n_panels = sum(map(len, chosen))
    shape = (n_panels, 1) if stacked else (len(models), n_columns)
    grid = axes_on(fig, *shape, sharey=True)
    free = iter(grid.flat)
    drawn: list[Axes] = []
    pairs: list[Pair] = []
    headings: list[tuple[str, list[str | None]]] = []
    for row, model in enumerate(models):
        for column, layer in enumerate(chosen[row]):
            ax = panels[row, column] = next(free)
            here = {**model, "layer": layer}
            pairs.append(_pair(importance.sel(model), looked.sel(here)))
            handles = _draw(ax, pairs[-1])
            total = None if on_thoughts is None else on_thoughts.sel(here)
            name = f"{_short_name(model['model'])}, layer {layer}" if model else f"Layer {layer}"
            headings.append((name, [_on_thoughts(total)]))
            ax.label_outer()
            drawn.append(ax)
        for _ in range(0 if stacked else n_columns - len(chosen[row])):
            next(free).remove()
    for ax, size, (name, subtitle) in zip(drawn, axes_sizes(drawn), headings, strict=True):
        heading(ax, name, subtitle, size=size)
    numbers = [_n_of(importance, model) for model in models]
    numbers += [sure] if (sure := interval_of(importance)) else []
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=1 if stacked else 2,
        title="\n".join(wrapped(numbers, SUBTITLE_SIZE, 72 * width_of(fig) - 2 * SLACK)),
        title_fontsize=SUBTITLE_SIZE,
    )
    figure_heading(fig, "Importance and attention by layer", model_of(looked))
    write_pairs(drawn, pairs)  # last: only now is every panel as wide as it will be
    return panels


def _draw(ax: Axes, pair: Pair) -> list[BarContainer]:
    """Draw the two, and a line where every thought would get the same share."""
    handles = draw_pair(ax, pair, "%")
    equal = 100 / pair[1].result.sizes["thought"]
    ax.axhline(equal, color=FAINT, linewidth=0.7, linestyle=":", zorder=1.5)
    return handles


def _pair(importance: xr.Dataset, looked: xr.Dataset) -> Pair:
    percent_only(importance)
    broken = summary(importance, ("thought",), "importance")
    looked = same_thoughts(broken, looked, ("importance", "shares"))
    return (
        Side(broken, IMPORTANCE, "importance (answers broken)"),
        Side(looked, ATTENTION, "share of attention on thoughts"),
    )


def _short_name(model: str) -> str:
    """Leave out the owner of a model from the hub; the legend has the whole name."""
    return model.rsplit("/", 1)[-1]


def _n_of(importance: xr.Dataset, model: Mapping[str, str]) -> str:
    """Say how many problems there were, for each model by its name."""
    n = n_of(importance.sel(model)) or ""
    return f"{model['model']}: {n}" if model else n


def _on_thoughts(total: Values | None) -> str | None:
    if total is None:
        return None
    fraction = summary(total, (), "total")
    estimate, low, high = (100 * float(fraction[name]) for name in ("estimate", "low", "high"))
    if np.isnan(estimate):
        return "attention on thoughts n/a"
    sure = "" if np.isnan(low) else f" ({short(low)} to {short(high)})"
    return f"attention on thoughts {short(estimate)} %{sure}"
