"""What a model is asked."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cot_attn.data import latex
from cot_attn.data.answers import ANSWERS, answer_type
from cot_attn.data.answers import AnswerType as AnswerType


@dataclass(frozen=True)
class Problem:
    """A question, its gold answer and what is known about it.

    Parameters
    ----------
    id
        Unique within a data set; results are joined by it.
    question
        The text that the model reads.
    answer
        The gold answer, or None where there is none to grade against.
    answer_type
        How answers are compared: as numbers, truth values, mathematics or normalised text.
    steps
        The written solution, a line a step, where the data have it.
    difficulty
        The number of steps, where it is known; for MATH-500, its level from 1 to 5.
    dataset
        The name of the data set.

    Raises
    ------
    TypeError
        If the gold answer is no text.
    ValueError
        If the id or the question is empty, the answer type unknown, or the gold answer holds no
        value of that type, so that nothing could ever be right.

    Examples
    --------
    >>> Problem.from_text("What is 2 + 2?").id
    '38d46ad36188'
    """

    id: str
    question: str
    answer: str | None = None
    answer_type: AnswerType = "number"
    steps: tuple[str, ...] = ()
    difficulty: int | None = None
    dataset: str | None = None

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError(f"The problem {self.question[:60]!r} has an empty id.")
        if not self.question.strip():
            raise ValueError(
                f"Problem {self.id!r} has an empty question. Give it a text, or leave it out."
            )
        rules = ANSWERS[answer_type(self.answer_type)]
        gold: object = self.answer
        if gold is not None and not isinstance(gold, str):
            raise TypeError(
                f"Problem {self.id!r} has the answer {gold!r}, not a text. Give {str(gold)!r}."
            )
        if self.answer is not None and rules.gold(self.answer) is None:
            found = "nothing" if rules.find(self.answer) is None else "not just one value"
            raise ValueError(
                f"Problem {self.id!r} has the answer {self.answer!r}, in which there is {found} of "
                f"answer_type={self.answer_type!r}. Correct one of the two, or give None where "
                "there is no gold answer."
            )

    @classmethod
    def from_text(cls, question: str) -> "Problem":
        """Make a problem without an answer; its id is the start of the text's SHA-256."""
        return cls(hashlib.sha256(question.encode()).hexdigest()[:12], question)


def check_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems as a list that a result can be labelled with.

    Raises
    ------
    TypeError
        If something in it is not a `Problem`.
    ValueError
        If there are none, or two have the same id.
    ImportError
        If one has a mathematical answer and math-verify is not installed.

    Examples
    --------
    >>> twice = [Problem("a", "What is 1 + 1?"), Problem("a", "What is 1 + 2?")]
    >>> check_problems(twice)
    Traceback (most recent call last):
    ...
    ValueError: 2 problems have the id 'a'. Results are joined by id: give each problem its own.
    """
    problems = list(problems)
    if not problems:
        raise ValueError(
            "There are no problems. Give at least one, as `load_problems` returns them."
        )
    counts: dict[str, int] = {}
    for problem in problems:
        if not isinstance(problem, Problem):
            raise TypeError(
                f"A {type(problem).__name__} stands among the problems. Make it a problem with "
                "Problem(id, question, answer) or Problem.from_text(question)."
            )
        counts[problem.id] = counts.get(problem.id, 0) + 1
    repeated = max(counts, key=counts.__getitem__)
    if counts[repeated] > 1:
        raise ValueError(
            f"{counts[repeated]} problems have the id {repeated!r}. Results are joined by id: give "
            "each problem its own."
        )
    if any(problem.answer_type == "math" for problem in problems):
        latex.require()
    return problems
