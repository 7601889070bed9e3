"""Which position of a run plays which role.

For a prompt whose last token is BOT at column p, with n thoughts and one-token BOT and EOT:

======================  ========  ============  =====================================
column                  role      stage         what is fed there
======================  ========  ============  =====================================
up to p - 1             question  Prompt        its tokens (padding to their left)
p                       bot       Prompt        BOT; its hidden state becomes thought 0
p + 1 .. p + n          thought   Thought(i)    thought i
p + n + 1               eot       Close         EOT; predicts the first answer token
p + n + 2 ..            answer    Answer(j)     answer token j
======================  ========  ============  =====================================
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Int8

from cot_attn.models.stages import Answer, Close, Prompt, Stage, Thought


class Role(IntEnum):
    """What a position is for."""

    PAD = 0
    QUESTION = 1
    BOT = 2
    THOUGHT = 3
    EOT = 4
    ANSWER = 5


@dataclass(frozen=True)
class Layout:
    """Where everything stands in a left-padded batch.

    All rows share the columns of BOT, thoughts, EOT and answer; they differ in how much padding
    stands to the left of the question and in how long the answer is.

    Parameters
    ----------
    question_lengths
        Number of question tokens of each row, BOT not counted.
    bot_width, eot_width
        Number of tokens that close the question and the thoughts.
    n_thoughts
        Number of thoughts.
    answer_lengths
        Number of answer tokens of each row, EOS not counted; none before the answers are known.
    question_width, answer_width
        Number of columns kept for questions and answers, where that is more than the longest needs.
    thought_lengths
        Number of thoughts of each row, where a stop rule may end them before `n_thoughts`; by
        default all have that many. Columns behind a row's own last thought are padding.
    thought_width
        Number of columns kept for thoughts; by default what the longest row needs.

    Raises
    ------
    ValueError
        Where there are answers, or numbers of thoughts, of some rows only.

    Examples
    --------
    >>> layout = Layout(question_lengths=(3, 1), bot_width=1, n_thoughts=2, eot_width=1)
    >>> layout.columns(Thought(0))
    range(4, 5)
    >>> [Role(role).name for role in layout.roles()[1]]
    ['PAD', 'PAD', 'QUESTION', 'BOT', 'THOUGHT', 'THOUGHT', 'EOT']
    >>> [Role(role).name for role in layout.stopped((2, 1)).roles()[1]]
    ['PAD', 'PAD', 'QUESTION', 'BOT', 'THOUGHT', 'PAD', 'EOT']
    """

    question_lengths: tuple[int, ...]
    bot_width: int
    n_thoughts: int
    eot_width: int
    answer_lengths: tuple[int, ...] = ()
    question_width: int = 0
    answer_width: int = 0
    thought_lengths: tuple[int, ...] = ()
    thought_width: int | None = None

    def __post_init__(self) -> None:
        n_rows, n_answers = len(self.question_lengths), len(self.answer_lengths)
        if n_answers not in (0, n_rows):
            raise ValueError(
                f"A layout has {n_rows} questions and {n_answers} answers. Give the answer's "
                "length of every row, or none."
            )
        lengths = self.thought_lengths
        if len(lengths) not in (0, n_rows) or not all(0 <= n <= self.n_thoughts for n in lengths):
            raise ValueError(
                f"A layout of {n_rows} rows with at most {self.n_thoughts} thoughts has "
                f"thought_lengths {lengths}. Give one number from 0 on for every row, or none."
            )
        if all(n == self.n_thoughts for n in lengths):
            object.__setattr__(self, "thought_lengths", ())
        elif self.thought_width is None:
            object.__setattr__(self, "thought_width", max(lengths))
        if self.thought_width == self.n_thoughts:
            object.__setattr__(self, "thought_width", None)
        # Equal layouts compare equal, however they came to be.
        for name in ("question", "answer"):
            widest = max((getattr(self, f"{name}_width"), *getattr(self, f"{name}_lengths")))
            object.__setattr__(self, f"{name}_width", widest)

    @property
    def question(self) -> range:
        """Columns of the questions, their padding included."""
        return range(self.question_width)

    @property
    def bot(self) -> range:
        """Columns of the tokens that close the question."""
        return range(self.question.stop, self.question.stop + self.bot_width)

    @property
    def thoughts(self) -> range:
        """Columns of the thoughts."""
        width = self.n_thoughts if self.thought_width is None else self.thought_width
        return range(self.bot.stop, self.bot.stop + width)

    @property
    def n_thoughts_each(self) -> tuple[int, ...]:
        """Number of thoughts of each row."""
        return self.thought_lengths or (self.n_thoughts,) * len(self.question_lengths)

    @property
    def eot(self) -> range:
        """Columns of the tokens that close the thoughts."""
        return range(self.thoughts.stop, self.thoughts.stop + self.eot_width)

    @property
    def answer(self) -> range:
        """Columns of the answers."""
        return range(self.eot.stop, self.eot.stop + self.answer_width)

    def columns(self, stage: Stage) -> range:
        """Return the columns that a stage feeds; raise where there is no such stage.

        Of a thought that no row has, there are none.
        """
        if isinstance(stage, Thought) and not 0 <= stage.index < self.n_thoughts:
            raise ValueError(
                f"There is no {stage}: this run has {self.n_thoughts} thoughts, counted from 0."
            )
        if isinstance(stage, Answer) and stage.index < 0:
            raise ValueError(f"There is no {stage}: answer tokens are counted from 0.")
        match stage:
            case Prompt():
                return range(self.bot.stop)
            case Thought(index):
                return self.thoughts[index : index + 1]
            case Close():
                return self.eot
            case Answer(index):
                return range(self.eot.stop + index, self.eot.stop + index + 1)

    def padding(self, row: int) -> int:
        """Return the number of padding columns to the left of a row's question."""
        return self.question.stop - self.question_lengths[row]

    def roles(self) -> Int8[np.ndarray, "batch position"]:
        """Return the `Role` of every position; behind a row's thoughts or answer it is `PAD`."""
        roles = np.full((len(self.question_lengths), self.answer.stop), Role.PAD, dtype=np.int8)
        shared = {
            Role.BOT: self.bot,
            Role.THOUGHT: self.thoughts,
            Role.EOT: self.eot,
        }
        for role, columns in shared.items():
            roles[:, columns.start : columns.stop] = role
        for row in range(len(roles)):
            roles[row, self.padding(row) : self.question.stop] = Role.QUESTION
            unused = self.thoughts[self.n_thoughts_each[row] :]
            roles[row, unused.start : unused.stop] = Role.PAD
            if self.answer_lengths:
                start = self.answer.start
                roles[row, start : start + self.answer_lengths[row]] = Role.ANSWER
        return roles

    def keys(self) -> dict[str, range]:
        """Return the columns of every attention key by its label."""
        thoughts = {f"thought {i}": self.columns(Thought(i)) for i in range(self.n_thoughts)}
        return {"question": self.question, "bot": self.bot, **thoughts, "eot": self.eot}

    def rows(self, rows: Sequence[int]) -> "Layout":
        """Return the layout of chosen rows; the columns stay where they are."""
        lengths = tuple(self.question_lengths[row] for row in rows)
        answers = tuple(self.answer_lengths[row] for row in rows) if self.answer_lengths else ()
        thoughts = tuple(self.thought_lengths[row] for row in rows) if self.thought_lengths else ()
        return replace(
            self, question_lengths=lengths, answer_lengths=answers, thought_lengths=thoughts
        )

    def stopped(self, thought_lengths: Sequence[int]) -> "Layout":
        """Return this layout with the numbers of thoughts that the rows have."""
        return replace(self, thought_lengths=tuple(thought_lengths), thought_width=None)

    def answered(self, answer_lengths: Sequence[int]) -> "Layout":
        """Return this layout with the answers' lengths."""
        return replace(self, answer_lengths=tuple(answer_lengths), answer_width=0)

    def joined(self, *others: "Layout") -> "Layout":
        """Return the layout of several batches as one, padded to the widest.

        Raises
        ------
        ValueError
            Where they differ in the number of thoughts or of tokens round them, or where some have
            answers and others none.
        """
        layouts = (self, *others)
        shapes = {(each.bot_width, each.n_thoughts, each.eot_width) for each in layouts}
        if len(shapes) > 1:
            raise ValueError(
                "Layouts are joined only where BOT, thoughts and EOT have the same widths; these "
                f"have {sorted(shapes)}."
            )
        return replace(
            self,
            question_lengths=tuple(n for each in layouts for n in each.question_lengths),
            answer_lengths=tuple(n for each in layouts for n in each.answer_lengths),
            question_width=max(each.question_width for each in layouts),
            answer_width=max(each.answer_width for each in layouts),
            thought_lengths=tuple(n for each in layouts for n in each.n_thoughts_each),
            thought_width=max(len(each.thoughts) for each in layouts),
        )
