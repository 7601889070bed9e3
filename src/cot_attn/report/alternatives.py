"""What a figure shows, in words and numbers, for those who do not see it."""

import xarray as xr

from cot_attn import stats
from cot_attn.report.numbers import (
    correlation,
    correlation_interval,
    each,
    equals,
    percent,
    percent_interval,
)
from cot_attn.study.results import Study


def importance(study: Study) -> str:
    """Say how often each thought's corruption breaks the answer."""
    parts = [
        f"thought {thought}: {percent(here['estimate'])} ({percent_interval(here)})"
        for thought, here in each(study.importance, "thought")
    ]
    return f"{study.name}, percent of answers broken, with 95 % intervals. {'; '.join(parts)}."


def beside(study: Study) -> str:
    """Say each thought's importance and its share, in the layers that are shown."""
    shares = study.shares.mean("problem")
    parts = [f"Importance, percent: {_by_thought(study.importance['estimate'])}."]
    for layer in study.three_layers:
        parts.append(f"Share at layer {layer}, percent: {_by_thought(shares.sel(layer=layer))}.")
    return f"{study.name}. {' '.join(parts)}"


def against(study: Study) -> str:
    """Say how attention and importance go together in the layers that are shown."""
    return f"{study.name}. {' '.join(_correlations(study, study.three_layers))}"


def correlations(study: Study) -> str:
    """Say how attention and importance go together in every layer."""
    return f"{study.name}. {' '.join(_correlations(study, study.layers))}"


def corruptions(study: Study) -> str:
    """Say how often each thought's corruption breaks the answer, one corruption at a time."""
    rates = stats.importance(study.effects, by="corruption")["estimate"]
    parts = [
        f"{label}: {_by_thought(rates.sel(corruption=label))}."
        for label in rates["corruption"].values
    ]
    return f"{study.name}, percent of answers broken. {' '.join(parts)}"


def shares(study: Study) -> str:
    """Say which share of the attention on thoughts each gets, in every layer."""
    means = study.shares.mean("problem")
    parts = [f"Layer {layer}: {_by_thought(means.sel(layer=layer))}." for layer in study.layers]
    return f"{study.name}, percent of the attention on thoughts. {' '.join(parts)}"


def concentration(study: Study) -> str:
    """Say among how many thoughts attention is spread, in every layer."""
    spread = study.concentration.sel(measure="effective_number")
    parts = [
        f"layer {layer}: {float(here['estimate']):.2f} "
        f"({float(here['low']):.2f} to {float(here['high']):.2f})"
        for layer, here in each(spread, "layer")
    ]
    return f"{study.name}, effective number of thoughts, 95 % intervals. {'; '.join(parts)}."


def _by_thought(fractions: xr.DataArray) -> str:
    return ", ".join(
        f"thought {thought} {percent(fractions.sel(thought=thought))}"
        for thought in fractions["thought"].values
    )


def _correlations(study: Study, layers: list[int]) -> list[str]:
    within, pooled = (
        study.correlations.sel(estimand=name) for name in ("within_problem", "pooled")
    )
    return [
        f"Layer {layer}: within problems r = {_r(within.sel(layer=layer))}; "
        f"pooled r = {_r(pooled.sel(layer=layer))}."
        for layer in layers
    ]


def _r(here: xr.Dataset) -> str:
    return f"{correlation(here['estimate'])} ({correlation_interval(here)}, q {equals(here['q'])})"
