"""The pictures of a study, and of studies side by side."""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from cot_attn import plots, stats

if TYPE_CHECKING:
    from cot_attn.study.results import Study

Draw = Callable[[], Any]


def study_figures(study: "Study") -> dict[str, Draw]:
    """Return what draws each picture of a study, by the picture's name."""
    layers = study.three_layers
    totals = study.sequence_attention.sum("thought", skipna=False)
    pictures: dict[str, Draw] = {
        "importance_by_thought": lambda: plots.importance_by_thought(study.importance),
        "attention_by_layer": lambda: plots.attention_by_layer(study.shares),
        "attention_against_importance": lambda: plots.attention_against_importance(
            study.shares,
            study.failure,
            study.correlations.sel(estimand=["within_problem", "pooled"]),
            line=stats.fitted_line(study.shares, study.failure),
            layers=layers,
        ),
        "correlation_by_layer": lambda: plots.correlation_by_layer(
            study.correlations.sel(estimand=["within_problem", "pooled"])
        ),
        "importance_beside_attention_by_layer": lambda: plots.importance_beside_attention_by_layer(
            study.importance, study.shares, totals=totals, layers=layers
        ),
        "concentration_by_layer": lambda: plots.concentration_by_layer(
            study.concentration.sel(measure="effective_number")
        ),
    }
    for layer in layers:
        pictures[f"correlation_by_thought_layer_{layer}"] = _by_thought(study, layer)
        pictures[f"importance_beside_attention_layer_{layer}"] = _beside(study, layer, totals)
    return pictures


def comparison_figures(comparison: xr.Dataset) -> dict[str, Draw]:
    """Return what draws each picture of `compare`'s result, by the picture's name."""
    shares, totals = (
        comparison["share"],
        comparison["sequence_attention"].sum("thought", skipna=False),
    )
    importance = stats.importance(comparison, by="model")
    concentration = stats.concentration(shares).assign_coords(depth=comparison["depth"])
    return {
        "importance_beside_attention": lambda: plots.importance_beside_attention_by_layer(
            importance, shares, totals=totals
        ),
        "concentration_by_depth": lambda: plots.concentration_by_layer(
            concentration.sel(measure="effective_number")
        ),
    }


def draw(pictures: Mapping[str, Draw], folder: str | PathLike[str]) -> list[Path]:
    """Draw pictures into a folder, each as PNG and as PDF, and return the files."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in pictures.items():
        axes = picture()
        written += plots.save(axes, target / name)
        plt.close(np.asarray(axes).flat[0].get_figure(root=True))
    return written


def _by_thought(study: "Study", layer: int) -> Draw:
    chosen = study.correlations_by_thought.sel(layer=layer)
    return lambda: plots.correlation_by_thought(chosen)


def _beside(study: "Study", layer: int, totals: xr.DataArray) -> Draw:
    return lambda: plots.importance_beside_attention(
        study.importance, study.shares.sel(layer=layer), total=totals.sel(layer=layer)
    )
