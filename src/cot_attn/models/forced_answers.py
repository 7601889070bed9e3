"""Answers that a rollout is forced to, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.models.rollout import Rollout
from cot_attn.models.template import Template


@dataclass(frozen=True, eq=False)
class ForcedAnswers:
    """One answer for each row of a batch, which a rollout is forced to.

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
        """Return answers, which come without EOS, and whose values stand at known tokens.

        One that is shorter than `max_new_tokens` had ended, and gets its EOS.
        """
        eos = template.eos
        ended = [
            [*tokens, eos] if len(tokens) < max_new_tokens else list(tokens) for tokens in answers
        ]
        width = max(1, *map(len, ended))
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

    def rows(self, rows: Int[Tensor, " rows"] | Sequence[int] | slice) -> "ForcedAnswers":
        """Return the answers of chosen rows, repeats allowed."""
        return ForcedAnswers(
            self.tokens[rows], self.length[rows], self.real[rows], self.value[rows]
        )

    def truncate(self, n_tokens: int) -> "ForcedAnswers":
        """Return the first tokens of every answer."""
        tokens, real = self.tokens[:, :n_tokens], self.real[:, :n_tokens]
        return ForcedAnswers(tokens, self.length, real, self.value)

    @property
    def has_value(self) -> Bool[Tensor, " batch"]:
        """Which rows have a value."""
        return self.value[:, 0] >= 0

    @property
    def in_value(self) -> Bool[Tensor, "batch n_tokens"]:
        """Where a token belongs to the value."""
        columns = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return (columns >= self.value[:, :1]) & (columns < self.value[:, 1:])

    def teacher_force(self, rollout: Rollout) -> Float[Tensor, "batch n_tokens d_model"]:
        """Feed the answers to a rollout and return the hidden states that predict each token."""
        return rollout.force_answer(self.tokens[:, :-1], self.real[:, 1:])

    def departures(self, best: Int[Tensor, "batch n_tokens"]) -> Int[Tensor, " batch"]:
        """Return at which token another one was likelier first, and -1 where at none.

        As long as each most likely token is the one that is forced, nothing was forced at all.
        """
        differs = (best != self.tokens) & self.real
        # The first True of each row.
        return differs.long().argmax(dim=1).masked_fill(~differs.any(dim=1), -1)
