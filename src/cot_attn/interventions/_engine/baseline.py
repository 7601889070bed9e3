"""The clean run of a batch of problems: variants branch off it, and are forced to its answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import greedy
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Prompt, Stage, Thought
from cot_attn.models.template import Template


@dataclass(frozen=True, eq=False)
class ForcedAnswers:
    """The answers of a batch of baselines, which every variant is forced to.

    Attributes
    ----------
    tokens
        Answer tokens, with EOS behind them where the answer ended; padded on the right.
    length
        Number of answer tokens, EOS not counted.
    real
        Where a token belongs to an answer, its EOS included, and not to the padding.
    value
        For each row the tokens [start, stop) of the value, or (-1, -1) where there is none.
    """

    tokens: Int[Tensor, "batch n_tokens"]
    length: Int[Tensor, " batch"]
    real: Bool[Tensor, "batch n_tokens"]
    value: Int[Tensor, "batch 2"]

    @classmethod
    def of(
        cls,
        answers: Sequence[Sequence[int]],
        values: Sequence[range | None],
        max_new_tokens: int,
        template: Template,
        device: torch.device,
    ) -> "ForcedAnswers":
        """Return answers, which come without EOS, and whose values stand at known tokens."""
        eos = template.eos
        ended = [
            [*tokens, eos] if len(tokens) < max_new_tokens else list(tokens) for tokens in answers
        ]
        width = max(len(tokens) for tokens in ended)
        padded = [tokens + [eos] * (width - len(tokens)) for tokens in ended]
        lengths = torch.tensor([len(tokens) for tokens in ended], device=device)
        return cls(
            tokens=torch.tensor(padded, device=device),
            length=torch.tensor([len(tokens) for tokens in answers], device=device),
            real=torch.arange(width, device=device) < lengths[:, None],
            value=torch.tensor(
                [(-1, -1) if value is None else (value.start, value.stop) for value in values],
                device=device,
            ),
        )

    def rows(self, rows: Int[Tensor, " rows"] | slice) -> "ForcedAnswers":
        """Return the answers of chosen rows, repeats allowed."""
        return ForcedAnswers(
            self.tokens[rows], self.length[rows], self.real[rows], self.value[rows]
        )

    def truncate(self, n_tokens: int) -> "ForcedAnswers":
        """Return the first tokens of every answer."""
        tokens, real = self.tokens[:, :n_tokens], self.real[:, :n_tokens]
        return ForcedAnswers(tokens, self.length, real, self.value)

    @property
    def in_value(self) -> Bool[Tensor, "batch n_tokens"]:
        """Where a token belongs to the value."""
        columns = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return (columns >= self.value[:, :1]) & (columns < self.value[:, 1:])

    def teacher_force(self, rollout: Rollout) -> Float[Tensor, "batch n_tokens d_model"]:
        """Feed the answers to a rollout and return the hidden states that predict each token."""
        columns = torch.arange(self.tokens.shape[1] - 1, device=self.tokens.device)
        return rollout.force_answer(self.tokens[:, :-1], columns < self.length[:, None])

    def departures(self, best: Int[Tensor, "batch n_tokens"]) -> Int[Tensor, " batch"]:
        """Return at which token another one was likelier first, and -1 where at none.

        As long as each most likely token is the one that is forced, nothing was forced at all.
        """
        differs = (best != self.tokens) & self.real
        # The first True of each row.
        return differs.long().argmax(dim=1).masked_fill(~differs.any(dim=1), -1)


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
