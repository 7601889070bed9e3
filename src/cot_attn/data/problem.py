"""What a model is asked."""

import hashlib
from dataclasses import dataclass
from typing import Literal

AnswerType = Literal["number", "boolean", "math", "text"]


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
        The number of steps, where it is known.
    dataset
        The name of the data set.

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
        if not self.question.strip():
            raise ValueError(
                f"Problem {self.id!r} has an empty question. Give it a text, or leave it out."
            )

    @classmethod
    def from_text(cls, question: str) -> "Problem":
        """Make a problem without an answer; its id is the start of the text's SHA-256."""
        return cls(hashlib.sha256(question.encode()).hexdigest()[:12], question)
