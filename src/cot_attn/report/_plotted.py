"""Which results each figure of a study plots, in the order of the catalogue.

A figure that is not to be one of its own gets its place as `ax=` or `fig=`.
"""

from typing import Any

import xarray as xr

from cot_attn import plots, stats
from cot_attn.report.figure import Results
from cot_attn.stats import Estimand
from cot_attn.study.results import Study


def beside_of_models(results: Results, **where: Any) -> Any:
    """Plot importance of each thought of several models beside the attention on it."""
    together = results.together
    return plots.importance_beside_attention_by_layer(
        stats.importance(together, by="model"),
        together["share"],
        totals=_total(together["sequence_attention"]),
        **where,
    )


def concentration_by_depth(results: Results, **where: Any) -> Any:
    """Plot on how many thoughts the attention of several models is, by relative depth."""
    together = results.together
    spread = stats.concentration(together["share"]).assign_coords(depth=together["depth"])
    spread = spread.sel(measure="effective_number")
    spread.attrs["n_thoughts"] = together.sizes["thought"]
    return plots.concentration_by_layer(spread, **where)


def beside_by_layer(results: Results, **where: Any) -> Any:
    """Plot importance of each thought beside the attention on it, at some layers."""
    study = results.study
    return plots.importance_beside_attention_by_layer(
        study.importance,
        study.shares,
        totals=_total(study.sequence_attention),
        layers=study.shown_layers,
        **where,
    )


def concentration_by_layer(results: Results, **where: Any) -> Any:
    """Plot on how many thoughts attention is, by layer."""
    return plots.concentration_by_layer(
        results.study.concentration.sel(measure="effective_number"), **where
    )


def attention_against_importance_within_problems(results: Results, **where: Any) -> Any:
    """Plot attention against importance, both without the means of problems and thoughts."""
    study = results.study
    broken = stats.double_centred(study.failure)
    answered = study.shares.where(study.failure.notnull().all("thought"))
    looked = stats.double_centred(answered)
    return plots.attention_against_importance_within_problems(
        looked,
        broken,
        line=stats.fitted_line(looked, broken),
        correlations=study.correlations.sel(estimand="within_problem"),
        layers=study.shown_layers,
        **where,
    )


def attention_against_importance(results: Results, **where: Any) -> Any:
    """Plot attention against importance, as they are."""
    study = results.study
    return plots.attention_against_importance(
        study.shares,
        study.failure,
        _correlations(study, "within_problem", "pooled"),
        line=stats.fitted_line(study.shares, study.failure),
        layers=study.shown_layers,
        **where,
    )


def importance_by_thought(results: Results, **where: Any) -> Any:
    """Plot how often the answer breaks with each thought."""
    return plots.importance_by_thought(results.study.importance, **where)


def importance_by_corruption(results: Results, **where: Any) -> Any:
    """Plot how often it breaks with each thought, for each corruption."""
    return plots.importance_by_corruption(results.study.importance_by_corruption, **where)


def importance_by_problem(results: Results, **where: Any) -> Any:
    """Plot which thoughts break the answer of which problem."""
    return plots.importance_by_problem(results.study.failure, **where)


def recompute_against_frozen(results: Results, **where: Any) -> Any:
    """Plot the total effect beside the direct effect."""
    return plots.recompute_against_frozen(results.study.importance, results.other, **where)


def attention_by_layer(results: Results, **where: Any) -> Any:
    """Plot the attention on each thought, by layer."""
    return plots.attention_by_layer(results.study.shares, **where)


def attention_by_head(results: Results, **where: Any) -> Any:
    """Plot the attention on the first thought, by layer and head."""
    return plots.attention_by_head(results.study.head_shares, thought=0, **where)


def flow_between_thoughts(results: Results, **where: Any) -> Any:
    """Plot how much each thought attends to those before it, at one layer."""
    return plots.flow_between_thoughts(
        stats.flow(results.study.attention).sel(layer=results.layer), **where
    )


def correlation_by_layer(results: Results, **where: Any) -> Any:
    """Plot the correlation of attention and importance, by layer."""
    return plots.correlation_by_layer(
        _correlations(results.study, "within_problem", "between_thoughts"), **where
    )


def correlation_by_layer_and_thought(results: Results, **where: Any) -> Any:
    """Plot the correlation of attention and importance at each thought, by layer."""
    return plots.correlation_by_layer_and_thought(results.study.correlations_by_thought, **where)


def correlation_by_thought(results: Results, **where: Any) -> Any:
    """Plot the correlation of attention and importance at each thought, at one layer."""
    return plots.correlation_by_thought(
        results.study.correlations_by_thought.sel(layer=results.layer), **where
    )


def beside_at_a_layer(results: Results, **where: Any) -> Any:
    """Plot importance of each thought beside the attention on it, at one layer."""
    study, layer = results.study, results.layer
    return plots.importance_beside_attention(
        study.importance,
        study.shares.sel(layer=layer),
        total=_total(study.sequence_attention).sel(layer=layer),
        **where,
    )


def one_problem(results: Results, **where: Any) -> Any:
    """Plot whom the word before the answer's value attends to, in one problem."""
    # The last word is the answer's value; the one before predicts it.
    looker = int(results.other["query"][-2])
    return plots.one_problem(results.other.sel(layer=0), query=looker, **where)


def _total(attention: xr.DataArray) -> xr.DataArray:
    return attention.sum("thought", skipna=False)


def _correlations(study: Study, *estimands: Estimand) -> xr.Dataset:
    return study.correlations.sel(estimand=list(estimands))
