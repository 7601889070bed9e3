"""The types of answers: how each is found in a text, and when two are the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cot_attn.data import _boolean as boolean
from cot_attn.data import _latex as latex
from cot_attn.data import _number as number
from cot_attn.data import _sentence as sentence
from cot_attn.data._marker import Span

AnswerType = Literal["number", "boolean", "math", "text"]


@dataclass(frozen=True)
class AnswerRules:
    """How answers of one type are found and compared.

    Parameters
    ----------
    find
        Where in a text the answer's value stands; None if there is no value in it.
    find_gold
        Where it stands in a gold answer; None if the answer is not wholly one value.
    same
        Whether a value, as `find` cuts it out, is the gold value.
    """

    find: Callable[[str], Span | None]
    find_gold: Callable[[str], Span | None]
    same: Callable[[str, str], bool]

    def gold(self, text: str) -> str | None:
        """Return the value of a gold answer, or None."""
        span = self.find_gold(text)
        return text[slice(*span)] if span else None


ANSWERS: dict[AnswerType, AnswerRules] = {
    "number": AnswerRules(number.find, number.find_gold, number.same),
    "boolean": AnswerRules(boolean.find, boolean.find_gold, boolean.same),
    "math": AnswerRules(latex.find, latex.find, latex.same),
    "text": AnswerRules(sentence.find, sentence.find, sentence.same),
}


def answer_type(name: str) -> AnswerType:
    """Return the name if it is a type of answers, and raise a ValueError if not."""
    if name not in ANSWERS:
        accepted = ", ".join(map(repr, ANSWERS))
        raise ValueError(f"answer_type={name!r} is not known. Accepted are {accepted}.")
    return name
