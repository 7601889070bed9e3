"""What a study's experiments were asked and have answered, one question after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cot_attn.report._answers_of_paths import (
    frontier,
    frontier_table,
    graph,
    graph_table,
    heads,
    heads_table,
)
from cot_attn.report._answers_of_thoughts import (
    exits,
    exits_table,
    interchange,
    interchange_table,
    steering,
    steering_table,
    usage,
    usage_table,
)
from cot_attn.report._drawing import Topic
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


QUESTIONS: dict[str, Question] = {
    "usage": Question(
        "Is the thought used?",
        usage,
        usage_table,
        ("accuracy_by_condition",),
        "Which thought is used, and how. A model that reads its answer off thought 0 and repeats "
        "it uses what thoughts say, too.",
    ),
    "exits": Question(
        "When is the answer there?",
        exits,
        exits_table,
        ("accuracy_by_exit", "commitment_by_exit"),
        "That the model knew no earlier: fewer thoughts than in training, and more, are off its "
        "distribution.",
    ),
    "interchange": Question(
        "What does a thought carry?",
        interchange,
        interchange_table,
        ("interchange_by_thought",),
        "What a thought carries where the answer is neither problem's: a step's result gives an "
        "answer that only a hypothesis predicts (interchange(..., expected=...)).",
    ),
    "steer": Question(
        "Can it be driven?",
        steering,
        steering_table,
        ("steering_by_dose",),
        "That the model uses this direction by itself. It is a difference of means towards one "
        "answer, made from one half of the problems and tried on the other; another direction or "
        "dose may do more.",
    ),
    "graph": Question(
        "By which path?",
        graph,
        graph_table,
        ("causal_graph",),
        "What is passed along an edge, and that an edge not needed carries nothing: another may "
        "stand in for it.",
    ),
    "heads": Question(
        "Which heads?",
        heads,
        heads_table,
        ("failure_by_heads",),
        "What these heads do with the thought, and anything of other thoughts than the last, at "
        "which a study looks.",
    ),
    "frontier": Question(
        "Is it a search in parallel?",
        frontier,
        frontier_table,
        ("frontier_by_thought",),
        "That the answer hangs on what thoughts are like: that takes an interchange.",
    ),
}
"""By the name of the experiment, in the order of the page."""
