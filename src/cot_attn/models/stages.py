"""The stages of a run: what is fed, and what comes of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral


@dataclass(frozen=True)
class Prompt:
    """The question and BOT are read."""


@dataclass(frozen=True)
class Thought:
    """Thought `index` is made from the last hidden state and fed.

    Parameters
    ----------
    index
        Which thought, counted from 0.
    iteration
        Of a loop that makes all thoughts in several passes (`Jacobi`), which of those before the
        last; None is the last one, and the only one of other loops.
    """

    index: int
    iteration: int | None = None

    def __repr__(self) -> str:
        of_pass = "" if self.iteration is None else f", iteration={self.iteration!r}"
        return f"Thought(index={self.index!r}{of_pass})"


@dataclass(frozen=True)
class Close:
    """EOT is fed; the first answer token is predicted."""


@dataclass(frozen=True)
class Answer:
    """Answer token `index` is fed; the next one is predicted."""

    index: int


Stage = Prompt | Thought | Close | Answer


def stage_label(stage: Stage) -> str:
    """Return the label of a stage in results: that of the position that is fed last in it.

    Examples
    --------
    >>> [stage_label(stage) for stage in (Prompt(), Thought(0), Close(), Answer(2))]
    ['bot', 'thought 0', 'eot', 'answer 2']
    >>> stage_label(Thought(0, iteration=1))
    'thought 0, pass 1'
    """
    match stage:
        case Prompt():
            return "bot"
        case Thought(index, iteration):
            return f"thought {index}" + ("" if iteration is None else f", pass {iteration}")
        case Close():
            return "eot"
        case Answer(index):
            return f"answer {index}"


def in_earlier_pass(stage: Stage) -> bool:
    """Whether a stage is of a pass over the thoughts that another one follows.

    Examples
    --------
    >>> [in_earlier_pass(stage) for stage in (Thought(0), Thought(0, iteration=1), Close())]
    [False, True, False]
    """
    return isinstance(stage, Thought) and stage.iteration is not None


def stage_set(stages: Iterable[Stage]) -> frozenset[Stage]:
    """Return stages as a set, where each is one that a run can have.

    Raises
    ------
    TypeError
        Where something is not a stage.
    ValueError
        Where there is none, or an index is not a whole number from 0 on.
    """
    argument: object = stages  # a user may give anything
    listed = list(stages) if isinstance(argument, Iterable) else None
    if listed is None or not all(
        isinstance(stage, Prompt | Thought | Close | Answer) for stage in listed
    ):
        raise TypeError(
            f"stages is {argument!r}; give a list of Prompt(), Thought(i), Close() and Answer(j), "
            "or None for all."
        )
    if not listed:
        raise ValueError("stages is empty, so nothing would be called. Give one, or None for all.")
    for stage in listed:
        if isinstance(stage, Thought | Answer):
            numbers: list[object] = [stage.index]
            if isinstance(stage, Thought) and stage.iteration is not None:
                numbers.append(stage.iteration)
            for number in numbers:
                if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
                    raise ValueError(
                        f"There is no stage {stage}: thoughts, passes and answer tokens are "
                        "counted from 0 on, in whole numbers, and not from the end."
                    )
    return frozenset(listed)
