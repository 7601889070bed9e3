"""The one catalogue of figures.

The page, the files beside it (PNG, PDF) and the gallery of the documentation go through it in its
order: what tells most comes first. A new figure is a new entry.
"""

from collections.abc import Callable

from cot_attn.report import _alternatives as alternatives
from cot_attn.report import _plotted as plotted
from cot_attn.report._experiments import EXPERIMENTS
from cot_attn.report._readouts import READOUTS
from cot_attn.report.figure import Figure, Results, Target
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
        draw=plotted.beside_of_models,
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
        draw=plotted.concentration_by_depth,
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
        draw=plotted.beside_by_layer,
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
        draw=plotted.concentration_by_layer,
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
        draw=plotted.attention_against_importance_within_problems,
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
        draw=plotted.attention_against_importance,
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
        draw=plotted.importance_by_thought,
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
        draw=plotted.importance_by_corruption,
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
        draw=plotted.importance_by_problem,
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
        draw=plotted.recompute_against_frozen,
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
        draw=plotted.attention_by_layer,
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
        draw=plotted.attention_by_head,
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
        draw=plotted.flow_between_thoughts,
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
        draw=plotted.correlation_by_layer,
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
        draw=plotted.correlation_by_layer_and_thought,
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
        draw=plotted.correlation_by_thought,
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
        draw=plotted.beside_at_a_layer,
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
        draw=plotted.one_problem,
        scope="other",
        targets=frozenset({"gallery"}),
    ),
    *EXPERIMENTS,
    *READOUTS,
)
