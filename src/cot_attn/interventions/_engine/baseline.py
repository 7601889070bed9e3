"""The clean run of a batch of problems: variants branch off it, and are forced to its answers."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import greedy
from cot_attn.models.forced_answers import ForcedAnswers
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Prompt, Stage, Thought


class Baseline:
    """The clean run of one batch.

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
        problems: Sequence[Problem],
        questions: Sequence[Sequence[int]],
        max_new_tokens: int,
    ) -> None:
        self.rollout = model.rollout(problems, questions, model.n_thoughts)
        self.rollout.read()
        fed = [self.rollout.think(index) for index in range(model.n_thoughts)]
        self.thoughts: Float[Tensor, "batch n_thoughts d_model"] = torch.stack(fed, dim=1)
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
