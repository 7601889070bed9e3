"""Whether an answer is right, and where in the text its value stands."""

from dataclasses import dataclass

from cot_attn.data.answers import ANSWERS
from cot_attn.data.problem import Problem


@dataclass(frozen=True)
class Grade:
    """What grading found in a text.

    Parameters
    ----------
    correct
        Whether the value is the problem's gold answer. False where the text has no value, and
        where the problem has no gold answer (`problem.answer is None`).
    value
        The answer's value as it is written in the text, or None where there is none.
    span
        The value's first character in the text, and the one after its last.
    """

    correct: bool
    value: str | None
    span: tuple[int, int] | None


def grade(text: str, problem: Problem) -> Grade:
    """Grade what a model wrote against the problem's gold answer.

    The same rules find the value in the text and in the gold answer; which they are, depends on
    `problem.answer_type` and stands in the modules `number`, `boolean`, `latex` and `sentence`.
    Whatever the text, it has a grade.

    Parameters
    ----------
    text
        What the model wrote.
    problem
        The problem that it was asked. Without a gold answer the value is found all the same.

    Raises
    ------
    TypeError
        If the text and the problem are the wrong way round, or a whole list is given.
    ImportError
        For mathematics, if math-verify is not installed.

    Examples
    --------
    >>> eggs = Problem("eggs", "How much does she make?", answer="18")
    >>> grade("The answer is: $18.00 a day", eggs)
    Grade(correct=True, value='18.00', span=(16, 21))
    >>> grade("She keeps them all.", eggs)
    Grade(correct=False, value=None, span=None)
    """
    arguments: tuple[object, object] = text, problem
    if not isinstance(arguments[0], str) or not isinstance(arguments[1], Problem):
        raise TypeError(
            f"grade was given a {type(text).__name__} and a {type(problem).__name__}; give one "
            "answer's text and then its problem, as in grade(run.answers[0], problems[0])."
        )
    rules = ANSWERS[problem.answer_type]
    span = rules.find(text)
    if span is None:
        return Grade(correct=False, value=None, span=None)
    value = text[slice(*span)]
    gold = None if problem.answer is None else rules.gold(problem.answer)
    return Grade(gold is not None and rules.same(value, gold), value, span)
