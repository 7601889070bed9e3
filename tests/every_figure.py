"""Every public figure, drawn from simulated results at a width of one's choice."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import simulated_experiments
from cot_attn import plots, stats
from cot_attn.stats.flow import flow
from simulated_readouts import agreement as agreement_of_lens
from simulated_readouts import fed_agreement, probed, words
from simulated_results import attention, correlation, effects, positions

Drawn = Axes | np.ndarray


@cache
def results() -> dict[str, xr.Dataset | xr.DataArray]:
    recorded, broken = attention(), effects()
    heads = stats.share(recorded)
    shares, failure = heads.mean("head", keep_attrs=True), broken["failed"].mean("corruption")
    asked = ["within_problem", "pooled"]
    correlations = [correlation(name, {"layer": range(4)}, seed=i) for i, name in enumerate(asked)]
    return {
        "importance": stats.importance(broken),
        "importance_by_corruption": stats.importance(broken, by="corruption"),
        "frozen": stats.importance(effects(seed=1, scale=0.5)),
        "failure": failure,
        "line_within": stats.fitted_line(
            stats.double_centred(shares), stats.double_centred(failure), n_resamples=50
        ),
        "heads": heads,
        "shares": shares,
        "totals": stats.sequence_attention(recorded).mean("head").sum("thought"),
        "correlations": xr.concat(correlations, dim=pd.Index(asked, name="estimand")),
        "by_thought": correlation("within_thought", {"thought": range(6), "layer": range(4)}),
        "concentration": two_models().sel(measure="effective_number"),
        "flow": flow(recorded),
        "positions": positions(),
        "lens": agreement_of_lens(),
        "fed": fed_agreement(),
        "probed": probed(),
        "words": words(),
        "usage": simulated_experiments.usage(),
        "exits": simulated_experiments.exits(),
        "committed": simulated_experiments.committed(),
        "graph": simulated_experiments.graph(),
        "head_sets": simulated_experiments.heads(),
        "by_size": simulated_experiments.by_size(),
        "attention_by_size": simulated_experiments.by_size(2.0, seed=1),
        "nodes": simulated_experiments.frontier(),
        "steering": simulated_experiments.steering(),
        "interchange": simulated_experiments.interchange(),
    }


def two_models() -> xr.Dataset:
    """The concentration of a model of 4 layers and of one of 6."""
    sizes = {"toy-gpt2": 4, "toy-llama": 6}
    parts = [
        stats.concentration(stats.share(attention(n_layers=n, seed=n)).mean("head"))
        for n in sizes.values()
    ]
    return xr.concat(parts, dim=pd.Index(list(sizes), name="model"), join="outer")


def line() -> xr.Dataset:
    """A made-up fitted line with its band."""
    share = np.linspace(0, 0.8, 9)
    estimate = np.broadcast_to(0.2 + 0.8 * share, (4, 9))
    return xr.Dataset(
        {
            name: (("layer", "share"), estimate + shift)
            for name, shift in (("estimate", 0.0), ("low", -0.05), ("high", 0.05))
        },
        coords={"layer": range(4), "share": share},
    )


def on_axes(draw: Callable[[Axes], Axes], height: float) -> Callable[[float], Drawn]:
    return lambda width: draw(plots.subplots(width=width, height=height)[1])


def on_figure(
    draw: Callable[[Figure], Drawn], wide: float, narrow: float
) -> Callable[[float], Drawn]:
    return lambda width: draw(plots.figure(width, wide if width > 5 else narrow))


SINGLE: dict[str, Callable[[Axes | None], Axes]] = {
    "accuracy_by_condition": lambda ax: plots.accuracy_by_condition(results()["usage"], ax=ax),
    "accuracy_by_exit": lambda ax: plots.accuracy_by_exit(results()["exits"], ax=ax),
    "causal_graph": lambda ax: plots.causal_graph(results()["graph"], ax=ax),
    "failure_by_heads": lambda ax: plots.failure_by_heads(results()["head_sets"], ax=ax),
    "frontier_by_thought": lambda ax: plots.frontier_by_thought(results()["nodes"], ax=ax),
    "commitment_by_exit": lambda ax: plots.commitment_by_exit(results()["committed"], ax=ax),
    "interchange_by_thought": lambda ax: plots.interchange_by_thought(
        results()["interchange"], ax=ax
    ),
    "attention_by_head": lambda ax: plots.attention_by_head(results()["heads"], 2, ax=ax),
    "attention_by_layer": lambda ax: plots.attention_by_layer(results()["heads"], ax=ax),
    "concentration_by_layer": lambda ax: plots.concentration_by_layer(
        results()["concentration"], ax=ax
    ),
    "correlation_by_layer": lambda ax: plots.correlation_by_layer(results()["correlations"], ax=ax),
    "correlation_by_layer_and_thought": lambda ax: plots.correlation_by_layer_and_thought(
        results()["by_thought"], ax=ax
    ),
    "correlation_by_thought": lambda ax: plots.correlation_by_thought(
        results()["by_thought"].sel(layer=3), ax=ax
    ),
    "importance_beside_attention": lambda ax: plots.importance_beside_attention(
        results()["importance"],
        results()["shares"].sel(layer=3),
        total=results()["totals"].sel(layer=3),
        ax=ax,
    ),
    "importance_by_corruption": lambda ax: plots.importance_by_corruption(
        results()["importance_by_corruption"], ax=ax
    ),
    "importance_by_problem": lambda ax: plots.importance_by_problem(results()["failure"], ax=ax),
    "importance_by_thought": lambda ax: plots.importance_by_thought(results()["importance"], ax=ax),
    "lens_by_layer": lambda ax: plots.lens_by_layer(results()["lens"].sel(target="step 2"), ax=ax),
    "lens_by_step": lambda ax: plots.lens_by_step(results()["fed"], ax=ax),
    "one_problem": lambda ax: plots.one_problem(results()["positions"].sel(layer=1), ax=ax),
    "probe_accuracy": lambda ax: plots.probe_accuracy(results()["probed"].sel(layer=3), ax=ax),
    "steering_by_dose": lambda ax: plots.steering_by_dose(results()["steering"], ax=ax),
    "quantity_by_size": lambda ax: plots.quantity_by_size(
        results()["by_size"],
        stats.trend_over(results()["by_size"]["estimate"]),
        factor=100,
        ax=ax,
    ),
    "recompute_against_frozen": lambda ax: plots.recompute_against_frozen(
        results()["importance"], results()["frozen"], ax=ax
    ),
    "strategies_by_size": lambda ax: plots.strategies_by_size(
        results()["by_size"], results()["attention_by_size"], ax=ax
    ),
    "top_words": lambda ax: plots.top_words(results()["words"], ax=ax),
}
SEVERAL: dict[str, Callable[[Figure | None], np.ndarray]] = {
    "attention_against_importance": lambda fig: plots.attention_against_importance(
        results()["shares"],
        results()["failure"],
        results()["correlations"],
        line=line(),
        fig=fig,
    ),
    "attention_against_importance_within_problems": lambda fig: (
        plots.attention_against_importance_within_problems(
            stats.double_centred(results()["shares"]),
            stats.double_centred(results()["failure"]),
            line=results()["line_within"],
            correlations=results()["correlations"].sel(estimand="within_problem"),
            fig=fig,
        )
    ),
    "flow_between_thoughts": lambda fig: plots.flow_between_thoughts(
        results()["flow"].sel(layer=2), fig=fig
    ),
    "importance_beside_attention_by_layer": lambda fig: plots.importance_beside_attention_by_layer(
        results()["importance"], results()["shares"], totals=results()["totals"], fig=fig
    ),
}
FIGURES: dict[str, Callable[[float], Drawn]] = {
    **{name: on_axes(draw, 2.8) for name, draw in SINGLE.items()},
    **{name: on_figure(draw, 2.8, 6.2) for name, draw in SEVERAL.items()},
}


def figure_of(drawn: Drawn) -> Figure:
    fig = np.asarray(drawn).flat[0].get_figure(root=True)
    assert isinstance(fig, Figure)
    return fig


@cache
def drawn(name: str, width: float) -> Drawn:
    """Draw a figure once, and lay it out once, for all tests that only look at it."""
    axes = FIGURES[name](width)
    fig = figure_of(axes)
    layout = fig.get_layout_engine()
    assert layout is not None
    layout.execute(fig)
    fig.set_layout_engine("none")
    return axes


def place_for(name: str) -> Axes | Figure:
    """Make axes or a figure to draw on, that nobody lays out: for what does not depend on it."""
    fig = plots.figure(plots.PAGE, 3.0 if name in SINGLE else 6.0)
    fig.set_layout_engine("none")
    return plots.canvas.axes_on(fig)[0, 0] if name in SINGLE else fig
