"""When two answers say the same."""

import numpy as np

from cot_attn.data import ANSWERS, Problem, grade


def value_of(text: str, problem: Problem) -> str | None:
    """Return the value in an answer to a problem, or None where there is none."""
    return grade(text, problem).value


def says(text: str, value: str | None, problem: Problem) -> float:
    """Say whether the value in an answer is a given one: 1 or 0; NaN where none is given."""
    if value is None:
        return np.nan
    said = value_of(text, problem)
    return float(said is not None and ANSWERS[problem.answer_type].same(said, value))


def agree(one: str, other: str, problem: Problem) -> bool:
    """Say whether two answers to a problem have the same value; without one, the same words."""
    value = value_of(other, problem)
    return one == other if value is None else bool(says(one, value, problem))
