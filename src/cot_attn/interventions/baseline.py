"""The unchanged run of a batch of problems, kept so that variants can branch off it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import continued, greedy, next_tokens
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Prompt, Stage, Thought


@dataclass(frozen=True, eq=False)
class Words:
    """The words that a batch of baselines said.

    Attributes
    ----------
    tokens
        Answer tokens, with EOS behind them where the answer ended; padded on the right.
    length
        Number of answer tokens, EOS not counted.
    said
        Where a token belongs to an answer, its EOS included.
    value
        For each row the tokens [start, stop) of the value, or (-1, -1) where there is none.
    """

    tokens: Int[Tensor, "batch n_tokens"]
    length: Int[Tensor, " batch"]
    said: Bool[Tensor, "batch n_tokens"]
    value: Int[Tensor, "batch 2"]

    def rows(self, rows: Int[Tensor, " rows"]) -> "Words":
        """Return the words of chosen rows, repeats allowed."""
        return Words(self.tokens[rows], self.length[rows], self.said[rows], self.value[rows])


class Baseline:
    """The unchanged run of one batch.

    Attributes
    ----------
    rollout
        The run until all thoughts have been fed; variants branch off it.
    answers
        What it answered, as text and as tokens.
    correct
        Whether each answer is right.
    words
        Its words, as they are forced on variants.
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        questions: Sequence[Sequence[int]],
        max_new_tokens: int,
    ) -> None:
        self.max_new_tokens = max_new_tokens
        self.rollout = model.rollout(problems, questions, model.n_thoughts)
        self.rollout.read()
        for index in range(model.n_thoughts):
            self.rollout.think(index)
        closed = self.branch(range(len(problems)), model.n_thoughts)
        self.answer_tokens = greedy(closed, closed.close(), max_new_tokens)
        self.answers = [model.decode(tokens) for tokens in self.answer_tokens]
        grades = [grade(text, p) for text, p in zip(self.answers, problems, strict=True)]
        self.correct = [graded.correct for graded in grades]
        values = [
            model.value_tokens(tokens, graded.span)
            for tokens, graded in zip(self.answer_tokens, grades, strict=True)
        ]
        self.words = _words(self.answer_tokens, values, max_new_tokens, model)

    def branch(self, rows: Sequence[int], n_thoughts: int) -> Rollout:
        """Return chosen rows as they were when `n_thoughts` thoughts had been fed."""
        after: Stage = Thought(n_thoughts - 1) if n_thoughts else Prompt()
        index = torch.tensor(list(rows), device=self.rollout.hidden.device)
        return self.rollout.branch(index, after=after)


def say(rollout: Rollout, words: Words) -> Float[Tensor, "batch n_tokens d_vocab"]:
    """Close a rollout, make it say given words, and return the logits that predict each of them."""
    first = rollout.close()[:, None]
    n_tokens = words.tokens.shape[1]
    if n_tokens == 1:
        return first
    columns = torch.arange(n_tokens - 1, device=words.tokens.device)
    real = columns < words.length[:, None]
    return torch.cat([first, rollout.answer(0, words.tokens[:, :-1], real)], dim=1)


def answers_of_variants(
    rollout: Rollout,
    logits: Float[Tensor, "batch n_tokens d_vocab"],
    words: Words,
    max_new_tokens: int,
) -> list[list[int] | None]:
    """Return each variant's own greedy answer, or None where it is its baseline's.

    `logits` are those of `say`: as long as each most likely token is the baseline's word, the
    variant would have said the same. From the first other token on it is decoded.
    """
    tokens = next_tokens(logits, rollout.model.template)
    differs = (tokens != words.tokens) & words.said
    changed = differs.any(dim=1)
    # The first True of each row.
    departure = differs.long().argmax(dim=1)
    answers: list[list[int] | None] = [None] * len(changed)
    rows = torch.nonzero(changed)[:, 0]
    if len(rows):
        at = departure[rows]
        added = continued(rollout.resume(rows, at), tokens[rows, at], at, max_new_tokens)
        said = words.tokens[rows].tolist()
        for row, before, n_said, after in zip(rows.tolist(), said, at.tolist(), added, strict=True):
            answers[row] = [*before[:n_said], *after]
    return answers


def _words(
    answers: Sequence[Sequence[int]],
    values: Sequence[range | None],
    max_new_tokens: int,
    model: ContinuousThoughtModel,
) -> Words:
    eos = model.template.eos
    spoken = [
        [*tokens, eos] if len(tokens) < max_new_tokens else list(tokens) for tokens in answers
    ]
    width = max(len(tokens) for tokens in spoken)
    padded = [tokens + [eos] * (width - len(tokens)) for tokens in spoken]
    device = model.device
    lengths = torch.tensor([len(tokens) for tokens in spoken], device=device)
    return Words(
        tokens=torch.tensor(padded, device=device),
        length=torch.tensor([len(tokens) for tokens in answers], device=device),
        said=torch.arange(width, device=device) < lengths[:, None],
        value=torch.tensor(
            [(-1, -1) if value is None else (value.start, value.stop) for value in values],
            device=device,
        ),
    )
