"""Lines: on how few thoughts attention gathers, from the first layer to the last."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cot_attn.plots._headings import heading
from cot_attn.plots._layers import layers_with_values
from cot_attn.plots._summaries import interval_of, model_of, n_of, summary
from cot_attn.plots.canvas import FAINT, axes_or_new, style
from cot_attn.plots.colours import series


class Measure(NamedTuple):
    """What a measure is multiplied by to be shown, what the axis says, and where it begins."""

    factor: float
    label: str
    least: float | None = None


MEASURES = {
    "effective_number": Measure(1, "effective number of thoughts", 1.0),
    "entropy": Measure(1, "entropy over thoughts (nats)", 0.0),
    "largest_share": Measure(100, "largest thought's share (%)", 0.0),
}


@style()
def concentration_by_layer(concentration: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how concentrated attention on thoughts is at each layer, models overlaid.

    Models are drawn over relative depth (0 is the first layer, 1 the last), since they differ in
    the number of layers; one model is drawn over its layers.

    Parameters
    ----------
    concentration
        Over (layer[, model]): one measure of `stats.concentration`, such as
        `.sel(measure="effective_number")`. A model has NaN for layers that it lacks. Depth is the
        coordinate `depth` (model, layer) that `compare` gives, or else the layer divided by the
        last that has a value. An attribute `n_thoughts` is drawn as the most there can be.
    ax
        Where to draw; by default, on a new figure of a column's width.

    Examples
    --------
    >>> import xarray as xr
    >>> spread = {"estimate": [5.8, 2.1], "low": [5.7, 1.9], "high": [5.9, 2.4]}
    >>> values = {name: ("layer", numbers) for name, numbers in spread.items()}
    >>> concentration_by_layer(xr.Dataset(values, coords={"layer": [0, 1]})).get_ylabel()
    'effective number of thoughts'
    """
    by_model = "model" in concentration.dims
    shown = summary(concentration, ("model", "layer")[not by_model :], "concentration")
    measure = str(shown["measure"].item()) if "measure" in shown.coords else "effective_number"
    factor, label, least = MEASURES.get(measure, Measure(1, measure.replace("_", " ")))
    ax = axes_or_new(ax)
    handles = []
    models = list(shown["model"].values) if by_model else [None]
    for index, model in enumerate(models):
        line = shown if model is None else shown.sel(model=model)
        last = max(layers_with_values(line["estimate"]), default=shown["layer"].values[-1])
        layers = shown["layer"].values[shown["layer"].values <= last]
        line = line.sel(layer=layers)  # one without a value in between leaves a gap
        positions = layers if model is None else _depth(line, layers)
        look = series(index)
        low, estimate, high = (factor * line[name] for name in ("low", "estimate", "high"))
        ax.fill_between(positions, low, high, color=look.color, alpha=0.18, linewidth=0)
        ax.plot(positions, estimate, color=look.color, linestyle=look.linestyle, marker=look.marker)
        handles.append(Line2D([], [], **look._asdict(), label=str(model)))
    ax.set_xlabel("relative depth (0: first layer, 1: last)" if by_model else "layer")
    if not by_model:
        layers = shown["layer"].values
        ax.set_xticks(layers[:: -(-len(layers) // 16)])
    ax.set_ylabel(label)
    if measure == "effective_number" and "n_thoughts" in concentration.attrs:
        ax.axhline(concentration.attrs["n_thoughts"], color=FAINT, linewidth=0.6, linestyle=":")
    if least is not None:  # the smallest value there can be: a small change must not look large
        ax.update_datalim([(ax.dataLim.x0, least)])
        ax.autoscale_view()
    parts = [model_of(shown), n_of(shown), interval_of(shown)]
    heading(ax, "Concentration of attention on thoughts", parts, handles if by_model else [])
    return ax


def _depth(line: xr.Dataset, layers: np.ndarray) -> np.ndarray:
    depth = line["depth"].values if "depth" in line.coords else layers / max(layers.max(), 1)
    return np.asarray(depth, dtype=float)
