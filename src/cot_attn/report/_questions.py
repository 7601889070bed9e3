"""What a study's experiments were asked and have answered, one question after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cot_attn import stats
from cot_attn.report._drawing import Topic
from cot_attn.report._numbers import correlation, each, equals, percent, percent_interval, tail
from cot_attn.report._tables import Table
from cot_attn.study.results import Study


@dataclass(frozen=True)
class Question:
    """An experiment as it stands on the page.

    Attributes
    ----------
    asked
        The question.
    answer
        The answer of a study, in a sentence with its numbers.
    table
        The numbers; given the folder in whose `tables/` they are unrounded.
    figures
        The names of its figures in the catalogue.
    beware
        What does not follow.
    """

    asked: str
    answer: Callable[[Study], str]
    table: Callable[[Study, str], Table]
    figures: tuple[str, ...]
    beware: str


@dataclass(frozen=True)
class Answered:
    """A question with what the studies on the page say to it."""

    question: Question
    sentences: tuple[tuple[str, str], ...]
    topics: tuple[Topic, ...]
    tables: tuple[Table, ...]


def answered(
    studies: Sequence[Study], folders: Sequence[str], topics: Sequence[Topic]
) -> Iterator[Answered]:
    """Yield the questions that any of the studies was asked."""
    for name, question in QUESTIONS.items():
        made = [pair for pair in zip(studies, folders, strict=True) if name in pair[0].experiments]
        if made:
            yield Answered(
                question,
                tuple((study.name, question.answer(study)) for study, _ in made),
                tuple(topic for topic in topics if topic.name in question.figures),
                tuple(question.table(study, folder) for study, folder in made),
            )


def of_a_question(topic: Topic) -> bool:
    """Return whether a figure stands below a question, and not among the others."""
    return any(topic.name in question.figures for question in QUESTIONS.values())


def _used(study: Study) -> str:
    return str(study.experiment_tables["usage"].attrs["verdict"])


def _usage_table(study: Study, folder: str) -> Table:
    table = study.experiment_tables["usage"]
    rows = tuple(
        (
            str(name),
            percent(row["estimate"]),
            percent_interval(row),
            correlation(100 * row["difference"], 0),
            tail(row["p_holm"]),
            f"{float(row['kl_value']):.2f}",
        )
        for name, row in each(table, "condition")
    )
    return Table(
        f"{study.name}: answers right, percent, when all thoughts are replaced. Difference from as "
        "trained in percentage points; p: McNemar's exact test, Holm's over conditions. KL at the "
        "answer's value, nats.",
        ("thoughts", "right", "95 %", "difference", "p", "KL"),
        rows,
        csv=f"{folder}/tables/usage.csv",
    )


def _when(study: Study) -> str:
    there = study.experiment_tables["commitment"].sel(target="right", kind="stable")
    half, last = float(there["median"]), there.isel(n_thoughts=-1)
    said = "Half of the answers are never right for good"
    if np.isfinite(half):
        said = f"Half of the answers are right for good after {half:g} thoughts"
    return (
        f"{said}. After the {int(last['n_thoughts'])} thoughts of training "
        f"{percent(last['estimate'])} % of all are (95 % interval {percent_interval(last)})."
    )


def _exits_table(study: Study, folder: str) -> Table:
    right = stats.exit_accuracy(study.experiments["exits"])
    good = study.experiment_tables["commitment"].sel(target="right", kind="stable")
    good = good.reindex(n_thoughts=right["n_thoughts"])
    rows = tuple(
        (
            str(n),
            percent(row["estimate"]),
            percent_interval(row),
            percent(good["estimate"].sel(n_thoughts=n)),
        )
        for n, row in each(right, "n_thoughts")
    )
    return Table(
        f"{study.name}: answers right, percent, when the answer is forced after some thoughts, and "
        "those that are right from there on.",
        ("thoughts", "right", "95 %", "for good"),
        rows,
        csv=f"{folder}/tables/exit_accuracy.csv",
    )


def _carried(study: Study) -> str:
    table = study.experiment_tables["interchange"].isel(site=0, prediction=0)
    rates = table.sel(outcome="the source's")
    of_source = rates.sel(vector="source")
    most = int(of_source["estimate"].fillna(-1).argmax("thought"))
    best, chance = of_source.isel(thought=most), rates.sel(vector="random").isel(thought=most)
    return (
        f"Thought {int(best['thought'])} of another problem takes that problem's answer along most "
        f"often: in {percent(best['estimate'])} % of {int(best['n_pairs'])} pairs (95 % interval "
        f"{percent_interval(best)}), where a random vector of its norm gives that answer in "
        f"{percent(chance['estimate'])} % ({percent_interval(chance)})."
    )


def _interchange_table(study: Study, folder: str) -> Table:
    table = study.experiment_tables["interchange"].isel(site=0, prediction=0)
    rows = []
    for thought, here in each(table, "thought"):
        source, random = (here.sel(vector=vector) for vector in ("source", "random"))
        moved = source.sel(outcome="the source's")
        rows.append(
            (
                str(thought),
                percent(moved["estimate"]),
                percent_interval(moved),
                percent(source["estimate"].sel(outcome="the base's own")),
                percent(source["estimate"].sel(outcome="another")),
                percent(random["estimate"].sel(outcome="the source's")),
                percent(random["estimate"].sel(outcome="the base's own")),
            )
        )
    return Table(
        f"{study.name}: what the answer becomes when a thought is another problem's, or a random "
        "vector: percent of pairs. Intervals are over problems, which pairs share.",
        ("thought", "its answer", "95 %", "own", "another", "its answer", "own"),
        tuple(rows),
        (("the other problem's thought", 4), ("a random vector", 2)),
        csv=f"{folder}/tables/interchange.csv",
    )


def _path(study: Study) -> str:
    table = study.experiment_tables["causal_graph"].sel(downstream="recompute")
    needed = table.isel(edge=np.flatnonzero(table["needed"].values))
    n_edges = table.sizes["edge"]
    if not needed.sizes["edge"]:
        return f"None of the {n_edges} edges is needed by itself."
    weakest = needed.isel(edge=int(needed["estimate"].argmin("edge")))
    return (
        f"{needed.sizes['edge']} of {n_edges} edges are needed: "
        f"{'; '.join(map(str, needed['edge'].values))}. Without the weakest of them "
        f"({weakest['edge'].item()}) {percent(weakest['estimate'])} % of the answers break (95 % "
        f"interval {percent_interval(weakest)}, p{_nbsp(equals(weakest['p_holm']))}, Holm)."
    )


def _graph_table(study: Study, folder: str) -> Table:
    table = study.experiment_tables["causal_graph"]
    recompute = table.sel(downstream="recompute")
    rows = []
    for edge in recompute["edge"].values[recompute["needed"].values]:
        here = recompute.sel(edge=edge)
        frozen = table["estimate"].sel(edge=edge)
        rows.append(
            (
                str(edge),
                percent(here["estimate"]),
                percent_interval(here),
                percent(here["others"]),
                tail(here["p_holm"]),
                percent(frozen.sel(downstream="frozen"))
                if "frozen" in frozen["downstream"]
                else "n/a",
            )
        )
    n_others = recompute.sizes["edge"] - len(rows)
    return Table(
        f"{study.name}: answers broken, percent, when an edge is taken away, and when as many "
        "other positions are hidden from the same place. Frozen: later thoughts fed as they were. "
        f"{n_others} edges that are not needed are in the file alone.",
        ("edge", "broken", "95 %", "others hidden", "p", "frozen"),
        tuple(rows),
        csv=f"{folder}/tables/causal_graph.csv",
    )


def _nbsp(text: str) -> str:
    return f"\N{NO-BREAK SPACE}{text}"


QUESTIONS: dict[str, Question] = {
    "usage": Question(
        "Is the thought used?",
        _used,
        _usage_table,
        ("accuracy_by_condition",),
        "Which thought is used, and how. A model that reads its answer off thought 0 and repeats "
        "it uses what thoughts say, too.",
    ),
    "exits": Question(
        "When is the answer there?",
        _when,
        _exits_table,
        ("accuracy_by_exit", "commitment_by_exit"),
        "That the model knew no earlier: fewer thoughts than in training, and more, are off its "
        "distribution.",
    ),
    "interchange": Question(
        "What does a thought carry?",
        _carried,
        _interchange_table,
        ("interchange_by_thought",),
        "What a thought carries where the answer is neither problem's: a step's result gives an "
        "answer that only a hypothesis predicts (interchange(..., expected=...)).",
    ),
    "graph": Question(
        "By which path?",
        _path,
        _graph_table,
        ("causal_graph",),
        "What is passed along an edge, and that an edge not needed carries nothing: another may "
        "stand in for it.",
    ),
}
"""By the name of the experiment, in the order of the page."""
