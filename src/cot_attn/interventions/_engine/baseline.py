"""The clean run of a batch of problems: variants branch off it, and are forced to its answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import ForcedAnswers, greedy
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Prompt, Stage, Thought


@dataclass(frozen=True, eq=False)
class Thinking:
    """The clean run of one batch, until all thoughts have been fed.

    Attributes
    ----------
    rollout
        The run.
    thoughts
        The vectors that were fed.
    """

    rollout: Rollout
    thoughts: Float[Tensor, "batch n_thoughts d_model"]

    @classmethod
    def of(
        cls,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        questions: Sequence[Sequence[int]],
        known: "Thinking | None" = None,
    ) -> "Thinking":
        """Let a model read problems and think, or take what it thought of them when it is known."""
        ids = {} if known is None else {p.id: row for row, p in enumerate(known.rollout.problems)}
        if known is not None and all(problem.id in ids for problem in problems):
            return known._rows([ids[problem.id] for problem in problems])
        rollout = model.rollout(problems, questions, model.n_thoughts)
        rollout.read()
        fed = [rollout.think(index) for index in range(model.n_thoughts)]
        return cls(rollout, torch.stack(fed, dim=1))

    def _rows(self, rows: list[int]) -> "Thinking":
        if rows == list(range(len(self.thoughts))):
            return self
        chosen = torch.tensor(rows, device=self.thoughts.device)
        return Thinking(self.rollout.branch(chosen), self.thoughts[chosen])


class Baseline:
    """The clean run of one batch, and its answers.

    Parameters
    ----------
    model
        The model.
    thinking
        What it thought.
    problems
        The problems.
    max_new_tokens
        The greatest number of tokens in an answer.

    Attributes
    ----------
    rollout
        The run until all thoughts have been fed; variants branch off it.
    thoughts
        The vectors that were fed.
    answers
        What it answered, as text.
    correct
        Whether each answer is right.
    forced
        The same answers, as they are forced on variants.
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        thinking: Thinking,
        problems: Sequence[Problem],
        max_new_tokens: int,
    ) -> None:
        self.rollout, self.thoughts = thinking.rollout, thinking.thoughts
        closed = self.after_thoughts()
        tokens = greedy(closed, closed.close(), max_new_tokens)
        self.answers = [model.decode(each) for each in tokens]
        grades = [grade(text, p) for text, p in zip(self.answers, problems, strict=True)]
        self.correct = [graded.correct for graded in grades]
        values = [
            model.value_tokens(each, graded.span)
            for each, graded in zip(tokens, grades, strict=True)
        ]
        self.forced = ForcedAnswers.of(tokens, values, max_new_tokens, model.template, model.device)

    def branch(
        self,
        rows: Int[Tensor, " rows"],
        n_thoughts: int,
        *,
        n_rows: int | None = None,
        spare: Rollout | None = None,
    ) -> Rollout:
        """Return chosen rows as they were when `n_thoughts` thoughts had been fed.

        There is room for `n_rows` rows and for all the tokens of the forced answers.
        """
        after: Stage = Thought(n_thoughts - 1) if n_thoughts else Prompt()
        n_columns = self.rollout.layout.eot.stop + self.forced.tokens.shape[1]
        return self.rollout.branch(
            rows, after=after, n_rows=n_rows, n_columns=n_columns, spare=spare
        )

    def after_thoughts(self) -> Rollout:
        """Return all rows as they were when all thoughts had been fed."""
        return self.rollout.branch(torch.arange(len(self.thoughts), device=self.thoughts.device))
