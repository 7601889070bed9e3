"""The one catalogue of figures.

The page, the files beside it (PNG, PDF) and the gallery of the documentation go through it in its
order: what tells most comes first. A new figure is a new entry.
"""

from collections.abc import Callable
from typing import Any

import xarray as xr

from cot_attn import plots, stats
from cot_attn.report import _alternatives as alternatives
from cot_attn.report._experiments import EXPERIMENTS
from cot_attn.report._readouts import READOUTS
from cot_attn.report.figure import Figure, Results, Target
from cot_attn.stats import Estimand
from cot_attn.study.results import Study

SPREAD = (
    "Among how many thoughts attention is spread: 1 where one thought gets all, {n_thoughts} where "
    "all get the same (dotted)."
)
UNLIKE = (
    "Intervals come from leaving problems out, and the tests behind filled markers from shuffling: "
    "within problems what is shuffled are the problems; between thoughts the thoughts, of which "
    "there are few, so that a narrow interval may stand beside a large p."
)


def figures(*targets: Target) -> list[Figure]:
    """Return the figures that stand in any of some targets.

    Examples
    --------
    >>> [figure.name for figure in figures("page of one")][:2]
    ['importance_beside_attention_by_layer', 'concentration_by_layer']
    """
    return [figure for figure in CATALOGUE if figure.targets.intersection(targets)]


def _side_by_side(results: Results, **where: Any) -> Any:
    together = results.together
    return plots.importance_beside_attention_by_layer(
        stats.importance(together, by="model"),
        together["share"],
        totals=_total(together["sequence_attention"]),
        **where,
    )


def _beside_by_layer(results: Results, **where: Any) -> Any:
    study = results.study
    return plots.importance_beside_attention_by_layer(
        study.importance,
        study.shares,
        totals=_total(study.sequence_attention),
        layers=study.shown_layers,
        **where,
    )


def _beside_at_a_layer(results: Results, **where: Any) -> Any:
    study, layer = results.study, results.layer
    return plots.importance_beside_attention(
        study.importance,
        study.shares.sel(layer=layer),
        total=_total(study.sequence_attention).sel(layer=layer),
        **where,
    )


def _concentration_by_depth(results: Results, **where: Any) -> Any:
    together = results.together
    spread = stats.concentration(together["share"]).assign_coords(depth=together["depth"])
    spread = spread.sel(measure="effective_number")
    spread.attrs["n_thoughts"] = together.sizes["thought"]
    return plots.concentration_by_layer(spread, **where)


def _against(results: Results, **where: Any) -> Any:
    study = results.study
    return plots.attention_against_importance(
        study.shares,
        study.failure,
        _correlations(study, "within_problem", "pooled"),
        line=stats.fitted_line(study.shares, study.failure),
        layers=study.shown_layers,
        **where,
    )


def _by_corruption(results: Results, **where: Any) -> Any:
    rates = stats.importance(results.study.effects, by="corruption")
    return plots.importance_by_corruption(rates.assign_attrs(model=results.study.name), **where)


def _one_problem(results: Results, **where: Any) -> Any:
    # The last word is the answer's value; the one before predicts it.
    looker = int(results.other["query"][-2])
    return plots.one_problem(results.other.sel(layer=0), query=looker, **where)


def _total(attention: xr.DataArray) -> xr.DataArray:
    return attention.sum("thought", skipna=False)


def _within_problems(results: Results, **where: Any) -> Any:
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


def _correlations(study: Study, *estimands: Estimand) -> xr.Dataset:
    return study.correlations.sel(estimand=list(estimands))


def _each(describe: Callable[[Study], str]) -> Callable[[Results], str]:
    return lambda results: " ".join(map(describe, results.studies))


CATALOGUE: tuple[Figure, ...] = (
    Figure(
        name="importance_beside_attention",
        plot="importance_beside_attention_by_layer",
        title="Importance beside attention, models on one scale",
        caption="How often the answer breaks when a thought is corrupted, beside its share of the "
        "attention on thoughts. One axis and one scale for all panels; dotted: an equal share.",
        words=_each(alternatives.beside),
        draw=_side_by_side,
        scope="models",
        targets=frozenset({"page of several", "files", "gallery"}),
        panels=True,
    ),
    Figure(
        name="concentration_by_depth",
        plot="concentration_by_layer",
        title="Concentration of attention, models at relative depth",
        caption=SPREAD,
        words=_each(alternatives.concentration),
        draw=_concentration_by_depth,
        scope="models",
        targets=frozenset({"page of several", "files", "gallery"}),
    ),
    Figure(
        name="importance_beside_attention_by_layer",
        plot="importance_beside_attention_by_layer",
        title="Importance beside attention",
        caption="How often the answer breaks when a thought is corrupted, beside the thought's "
        "share of the attention on thoughts; all layers, or of many an early, a middle and the "
        "last, on one scale. Dotted: an equal share.",
        words=_each(alternatives.beside),
        draw=_beside_by_layer,
        scope="model",
        targets=frozenset({"page of one", "files"}),
        panels=True,
    ),
    Figure(
        name="concentration_by_layer",
        plot="concentration_by_layer",
        title="Concentration of attention",
        caption=SPREAD,
        words=_each(alternatives.concentration),
        draw=lambda results, **where: plots.concentration_by_layer(
            results.study.concentration.sel(measure="effective_number"), **where
        ),
        scope="model",
        targets=frozenset({"page of one", "files"}),
    ),
    Figure(
        name="attention_against_importance_within_problems",
        plot="attention_against_importance_within_problems",
        title="Attention against importance within problems",
        caption="What is left when each problem's and each thought's own level is taken out, in "
        "percentage points; a panel a layer and thought. The line is that of all thoughts of a "
        "layer, its band a 95 % interval over problems.",
        words=_each(alternatives.within),
        draw=_within_problems,
        scope="breakable",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
        panels=True,
        rows="thoughts",
        shared="x",
    ),
    Figure(
        name="attention_against_importance",
        plot="attention_against_importance",
        title="Attention against importance, all points together",
        caption="Each point is one thought of one problem. Points are spread a little, up and "
        "down, so that density can be seen. The line goes through all points: it mixes what lies "
        "between thoughts, between problems and within them. The band is a 95 % interval over "
        "problems.",
        words=_each(alternatives.against),
        draw=_against,
        scope="model",
        targets=frozenset({"files", "gallery"}),
        panels=True,
        shared="x",
    ),
    Figure(
        name="importance_by_thought",
        plot="importance_by_thought",
        title="Importance by thought",
        caption="How often the answer breaks when the thought is corrupted: mean over "
        "corruptions, with 95 % intervals over problems.",
        words=_each(alternatives.importance),
        draw=lambda results, **where: plots.importance_by_thought(
            results.study.importance, **where
        ),
        scope="model",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
        shared="y",
    ),
    Figure(
        name="importance_by_corruption",
        plot="importance_by_corruption",
        title="Importance by corruption",
        caption="The same for each corruption alone. Strong corruptions leave what the model has "
        "learnt; weak ones may not be noticed.",
        words=_each(alternatives.corruptions),
        draw=_by_corruption,
        scope="model",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
        shared="x",
    ),
    Figure(
        name="importance_by_problem",
        plot="importance_by_problem",
        title="Importance by problem",
        caption="Which thoughts each problem needs; problems in order of their difficulty.",
        words=_each(alternatives.problems),
        draw=lambda results, **where: plots.importance_by_problem(results.study.failure, **where),
        scope="breakable",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
    ),
    Figure(
        name="recompute_against_frozen",
        plot="recompute_against_frozen",
        title="Total and direct importance",
        caption="How often the answer breaks when later thoughts follow from the change, and when "
        "they get the inputs of the unchanged run.",
        words=alternatives.frozen,
        draw=lambda results, **where: plots.recompute_against_frozen(
            results.study.importance, results.other, **where
        ),
        scope="other",
        targets=frozenset({"gallery"}),
    ),
    Figure(
        name="attention_by_layer",
        plot="attention_by_layer",
        title="Attention by layer",
        caption="The share of each thought in the attention on thoughts from {query}, mean over "
        "heads and problems. Colours go by the square root, so that small shares differ.",
        words=_each(alternatives.shares),
        draw=lambda results, **where: plots.attention_by_layer(results.study.shares, **where),
        scope="model",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
    ),
    Figure(
        name="attention_by_head",
        plot="attention_by_head",
        title="Attention on thought 0 by head",
        caption="The share of thought 0 in the attention on thoughts from {query}, at every layer "
        "and head, mean over problems.",
        words=_each(alternatives.heads),
        draw=lambda results, **where: plots.attention_by_head(
            results.study.head_shares, thought=0, **where
        ),
        scope="model",
        targets=frozenset({"gallery"}),
    ),
    Figure(
        name="flow_between_thoughts",
        plot="flow_between_thoughts",
        title="Attention from thought to thought",
        caption="The share of each thought's attention that each thought gets, and what it is "
        "above an even spread over the thoughts that it can see.",
        words=alternatives.flow,
        draw=lambda results, **where: plots.flow_between_thoughts(
            stats.flow(results.study.attention).sel(layer=results.layer), **where
        ),
        scope="layer",
        targets=frozenset({"gallery"}),
        panels=True,
    ),
    Figure(
        name="correlation_by_layer",
        plot="correlation_by_layer",
        title="Correlation of attention and importance by layer",
        caption="Within problems: does the thought that gets more than usual matter more than "
        f"usual? Between thoughts: do thoughts that get more on average matter more? {UNLIKE}",
        words=_each(alternatives.correlations),
        draw=lambda results, **where: plots.correlation_by_layer(
            _correlations(results.study, "within_problem", "between_thoughts"), **where
        ),
        scope="model",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
        shared="y",
    ),
    Figure(
        name="correlation_by_layer_and_thought",
        plot="correlation_by_layer_and_thought",
        title="Correlation by layer and thought",
        caption="Across problems, within each thought: do the problems in which it gets more "
        "attention need it more? Bold: q < 0.05, over all cells; hatched: negative.",
        words=_each(alternatives.correlation_map),
        draw=lambda results, **where: plots.correlation_by_layer_and_thought(
            results.study.correlations_by_thought, **where
        ),
        scope="model",
        targets=frozenset({"page of one", "page of several", "files", "gallery"}),
    ),
    Figure(
        name="correlation_by_thought",
        plot="correlation_by_thought",
        title="Correlation of attention and importance by thought",
        caption="Across problems, within each thought: do the problems in which it gets more "
        "attention need it more?",
        words=alternatives.correlations_by_thought,
        draw=lambda results, **where: plots.correlation_by_thought(
            results.study.correlations_by_thought.sel(layer=results.layer), **where
        ),
        scope="layer",
        targets=frozenset({"files", "gallery"}),
    ),
    Figure(
        name="importance_beside_attention",
        plot="importance_beside_attention",
        title="Importance beside attention at one layer",
        caption="How often the answer breaks when a thought is corrupted, beside the thought's "
        "share of the attention on thoughts.",
        words=alternatives.beside_at_a_layer,
        draw=_beside_at_a_layer,
        scope="layer",
        targets=frozenset({"files", "gallery"}),
    ),
    Figure(
        name="one_problem",
        plot="one_problem",
        title="One problem",
        caption="A problem's words and thoughts, shaded by the attention that the position before "
        "the answer's value pays them.",
        words=alternatives.one_problem,
        draw=_one_problem,
        scope="other",
        targets=frozenset({"gallery"}),
    ),
    *EXPERIMENTS,
    *READOUTS,
)
