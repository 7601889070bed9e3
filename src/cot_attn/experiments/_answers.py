"""When two answers say the same. Few answers are different, and each is read once."""

from functools import lru_cache

import numpy as np

from cot_attn.data import ANSWERS, AnswerType, Problem

SO_MANY = 2**15


def value_of(text: str, problem: Problem) -> str | None:
    """Return the value in an answer to a problem, or None where there is none."""
    return _value(text, problem.answer_type)


def says(text: str, value: str | None, problem: Problem) -> float:
    """Say whether the value in an answer is a given one: 1 or 0; NaN where none is given."""
    return np.nan if value is None else float(_says(text, value, problem.answer_type))


def right(text: str, problem: Problem) -> bool:
    """Say whether an answer is the gold one; False where there is no gold answer."""
    gold = None if problem.answer is None else _gold(problem.answer, problem.answer_type)
    return gold is not None and _says(text, gold, problem.answer_type)


def agree(one: str, other: str, problem: Problem) -> bool:
    """Say whether two answers to a problem have the same value; without one, the same words."""
    value = value_of(other, problem)
    return one == other if value is None else _says(one, value, problem.answer_type)


@lru_cache(maxsize=SO_MANY)
def _value(text: str, answer_type: AnswerType) -> str | None:
    span = ANSWERS[answer_type].find(text)
    return None if span is None else text[slice(*span)]


@lru_cache(maxsize=SO_MANY)
def _gold(text: str, answer_type: AnswerType) -> str | None:
    return ANSWERS[answer_type].gold(text)


@lru_cache(maxsize=SO_MANY)
def _says(text: str, value: str, answer_type: AnswerType) -> bool:
    said = _value(text, answer_type)
    return said is not None and ANSWERS[answer_type].same(said, value)
