"""Whether an answer is right, and where its value stands: in the text, and among its tokens."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class Decoder(Protocol):
    """What is needed of a tokenizer: Hugging Face's, `transformers` or `tokenizers`, have it."""

    def decode(self, token_ids: list[int], skip_special_tokens: bool = ...) -> Any:
        """Return the text of these tokens."""
        ...


def value_token(
    tokenizer: Decoder, tokens: Sequence[int], span: tuple[int, int] | None
) -> int | None:
    """Find the generated token in which a value begins.

    Only prefixes of the generated tokens are decoded. Nothing is tokenised again: a model may
    have written "18" as "1" and "8" where the tokenizer would write it as one token.

    Parameters
    ----------
    tokenizer
        What decoded the answer.
    tokens
        The ids of the generated answer, special tokens included or not.
    span
        Where the value stands in `tokenizer.decode(tokens, skip_special_tokens=True)`, as in
        `Grade.span`.

    Returns
    -------
    int | None
        Index into `tokens` of the token that holds the value's first character or, of a character
        in several tokens (bytes), its first part. None if `span` is None.

    Raises
    ------
    ValueError
        If the span lies outside of the tokens' text.
    """
    if span is None:
        return None
    ids = list(tokens)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    start = span[0]
    if not 0 <= start < len(text):
        raise ValueError(
            f"The value begins at character {start}, but these tokens are a text of {len(text)} "
            f"characters: {text!r}. Give the span that was found in just that text."
        )

    # Once the value is reached it stays so: the first such prefix can be found by halving.
    reached = partial(_reaches, tokenizer, ids, text[:start])
    return bisect_left(range(1, len(ids) + 1), True, key=reached)


def _reaches(tokenizer: Decoder, ids: list[int], before: str, n_tokens: int) -> bool:
    """Whether the first tokens hold all before a value, and something at its place.

    The something may be a replacement character, while the bytes of the true one are not all
    there. What stands before must be right, for unfinished bytes can decode to more characters
    than the finished ones.
    """
    prefix = tokenizer.decode(ids[:n_tokens], skip_special_tokens=True)
    return len(prefix) > len(before) and prefix.startswith(before)
