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
    together = results.together
    return plots.importance_beside_attention_by_layer(
        stats.importance(together, by="model"),
        together["share"],
        totals=_total(together["sequence_attention"]),
        **where,
    )


def concentration_by_depth(results: Results, **where: Any) -> Any:
    together = results.together
    spread = stats.concentration(together["share"]).assign_coords(depth=together["depth"])
    spread = spread.sel(measure="effective_number")
    spread.attrs["n_thoughts"] = together.sizes["thought"]
    return plots.concentration_by_layer(spread, **where)


def beside_by_layer(results: Results, **where: Any) -> Any:
    study = results.study
    return plots.importance_beside_attention_by_layer(
        study.importance,
        study.shares,
        totals=_total(study.sequence_attention),
        layers=study.shown_layers,
        **where,
    )


def concentration_by_layer(results: Results, **where: Any) -> Any:
    return plots.concentration_by_layer(
        results.study.concentration.sel(measure="effective_number"), **where
    )


def attention_against_importance_within_problems(results: Results, **where: Any) -> Any:
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
    return plots.importance_by_thought(results.study.importance, **where)


def importance_by_corruption(results: Results, **where: Any) -> Any:
    rates = stats.importance(results.study.effects, by="corruption")
    return plots.importance_by_corruption(rates.assign_attrs(model=results.study.name), **where)


def importance_by_problem(results: Results, **where: Any) -> Any:
    return plots.importance_by_problem(results.study.failure, **where)


def recompute_against_frozen(results: Results, **where: Any) -> Any:
    return plots.recompute_against_frozen(results.study.importance, results.other, **where)


def attention_by_layer(results: Results, **where: Any) -> Any:
    return plots.attention_by_layer(results.study.shares, **where)


def attention_by_head(results: Results, **where: Any) -> Any:
    return plots.attention_by_head(results.study.head_shares, thought=0, **where)


def flow_between_thoughts(results: Results, **where: Any) -> Any:
    return plots.flow_between_thoughts(
        stats.flow(results.study.attention).sel(layer=results.layer), **where
    )


def correlation_by_layer(results: Results, **where: Any) -> Any:
    return plots.correlation_by_layer(
        _correlations(results.study, "within_problem", "between_thoughts"), **where
    )


def correlation_by_layer_and_thought(results: Results, **where: Any) -> Any:
    return plots.correlation_by_layer_and_thought(results.study.correlations_by_thought, **where)


def correlation_by_thought(results: Results, **where: Any) -> Any:
    return plots.correlation_by_thought(
        results.study.correlations_by_thought.sel(layer=results.layer), **where
    )


def beside_at_a_layer(results: Results, **where: Any) -> Any:
    study, layer = results.study, results.layer
    return plots.importance_beside_attention(
        study.importance,
        study.shares.sel(layer=layer),
        total=_total(study.sequence_attention).sel(layer=layer),
        **where,
    )


def one_problem(results: Results, **where: Any) -> Any:
    # The last word is the answer's value; the one before predicts it.
    looker = int(results.other["query"][-2])
    return plots.one_problem(results.other.sel(layer=0), query=looker, **where)


def _total(attention: xr.DataArray) -> xr.DataArray:
    return attention.sum("thought", skipna=False)


def _correlations(study: Study, *estimands: Estimand) -> xr.Dataset:
    return study.correlations.sel(estimand=list(estimands))
