"""What a model is asked."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from cot_attn.data import _latex as latex
from cot_attn.data.answers import ANSWERS, answer_type
from cot_attn.data.answers import AnswerType as AnswerType

SURROGATE = re.compile("[\ud800-\udfff]")


def text_hash(text: str) -> str:
    """Return the start of a text's SHA-256, which is the id of what has no other."""
    # Half a character has a hash too: `Problem` is what refuses it, with a sentence.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


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
        If the id, the question, the gold answer or a step is no text, or the difficulty no integer.
    ValueError
        If the id or the question is empty, the answer type unknown, or the gold answer is not just
        one value of that type, so that nothing, or too much, would be right; or if a text holds
        half a character (a lone surrogate).

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
        self._check_texts()
        if not self.id.strip():
            raise ValueError(f"The problem {self.question[:60]!r} has an empty id.")
        if not self.question.strip():
            raise ValueError(
                f"Problem {self.id!r} has an empty question. Give it a text, or leave it out."
            )
        steps: object = self.difficulty
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, Integral)):
            raise TypeError(
                f"Problem {self.id!r} has the difficulty {steps!r}; an integer is needed, or None."
            )
        rules = ANSWERS[answer_type(self.answer_type)]
        if self.answer is not None and rules.gold(self.answer) is None:
            found = "nothing" if rules.find(self.answer) is None else "not just one value"
            raise ValueError(
                f"Problem {self.id!r} has the answer {self.answer!r}, in which there is {found} of "
                f"answer_type={self.answer_type!r}. Correct one of the two, or give None where "
                "there is no gold answer."
            )

    def _check_texts(self) -> None:
        """Refuse what is no text, and text that could not be written to a file."""
        texts: list[tuple[str, object]] = [("id", self.id), ("question", self.question)]
        texts += [(name, getattr(self, name)) for name in ("answer", "dataset")]
        if isinstance(self.steps, str):
            raise TypeError(f"Problem {self.id!r} has one text as steps; give a tuple of texts.")
        texts += [("step", step) for step in self.steps]
        for name, text in texts:
            if text is None and name in ("answer", "dataset"):
                continue
            if not isinstance(text, str):
                raise TypeError(
                    f"Problem {self.id!r} has the {name} {text!r}, not a text. Give {str(text)!r}."
                )
            half = SURROGATE.search(text)
            if half:
                raise ValueError(
                    f"Problem {self.id!r} has half a character, the lone surrogate "
                    f"{half.group()!r}, at position {half.start()} of its {name}: a text that was "
                    "cut or decoded wrongly, which no tokenizer and no file can hold. Mend it, or "
                    "replace it with text.encode('utf-8', 'replace').decode()."
                )

    @classmethod
    def from_text(cls, question: str) -> "Problem":
        """Make a problem without an answer; its id is the start of the text's SHA-256."""
        if not isinstance(question, str):
            raise TypeError(f"The question is {question!r}; a text is needed.")
        return cls(text_hash(question), question)


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
