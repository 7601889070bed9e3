"""Runs of a batch in which something is hidden or another thought is fed, beside its own."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.data import Problem
from cot_attn.experiments._hiding import Heads, Holes, hiding, no_holes
from cot_attn.experiments._words import Recital, divergence, spoken
from cot_attn.interventions import Downstream
from cot_attn.models import ContinuousThoughtModel, Layout, Prompt, Rollout, Thought, greedy


class Trials:
    """The unchanged run of a batch, off which changed ones branch.

    `run_variants` changes thoughts. Here the question and BOT can be hidden as well, and any set of
    heads may be the one that does not see.

    Parameters
    ----------
    model
        The model.
    problems, questions
        The batch, and its token ids.
    max_new_tokens
        The greatest number of tokens in an answer.

    Attributes
    ----------
    own
        The thoughts that were fed.
    answers
        The answers, as text.
    words
        The words of the answers, which changed runs are made to say.
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        questions: Sequence[Sequence[int]],
        max_new_tokens: int,
    ) -> None:
        self.model, self.problems, self.questions = model, problems, questions
        self.max_new_tokens = max_new_tokens
        self.rollout = model.rollout(problems, questions, model.n_thoughts)
        self.rollout.read()
        fed = [self.rollout.think(index) for index in range(model.n_thoughts)]
        self.own: Float[Tensor, "batch n_thoughts d_model"] = torch.stack(fed, dim=1)
        self.rows = torch.arange(len(problems), device=model.device)
        closed = self.rollout.branch(self.rows)
        tokens = greedy(closed, closed.close(), max_new_tokens)
        self.answers = [model.decode(each) for each in tokens]
        self.words = spoken(model, problems, tokens, max_new_tokens)
        self._known = Recital(self.rollout.branch(self.rows), self.words).at_value()

    @property
    def layout(self) -> Layout:
        """Where everything stands."""
        return self.rollout.layout

    def no_holes(self) -> Holes:
        """Return holes for every column that there will be, none of them open yet."""
        return no_holes(self.layout, self.max_new_tokens, self.model.device)

    def changed(
        self,
        holes: Holes,
        heads: Heads,
        *,
        first: int,
        downstream: Downstream = "recompute",
        fed: Mapping[int, Float[Tensor, "batch d_model"]] | None = None,
    ) -> tuple[list[str], np.ndarray]:
        """Run the batch with columns hidden from others, and other thoughts fed.

        Parameters
        ----------
        holes, heads
            What is hidden from what, and in which heads; see `hiding`.
        first
            The first thought that sees less or is another: -1 where the prompt does already.
        downstream
            What later thoughts are made of.
        fed
            What is fed in the place of thoughts.

        Returns
        -------
        tuple
            The answers, and KL(own || changed) at the value of the own answer, in nats.
        """
        rollout = self._thinking(holes, heads, first, downstream, fed or {})
        with self._hiding(holes, heads):
            recital = Recital(rollout.branch(self.rows), self.words)
            kl = divergence(self._known, recital.at_value()).cpu().numpy()
            departed = recital.departed()
        answers = list(self.answers)
        if len(departed):
            with self._hiding(holes[departed], heads):
                branch = rollout.branch(departed)
                tokens = greedy(branch, branch.close(), self.max_new_tokens)
            for row, own in zip(departed.tolist(), tokens, strict=True):
                answers[row] = self.model.decode(own)
        return answers, kl

    def _thinking(
        self,
        holes: Holes,
        heads: Heads,
        first: int,
        downstream: Downstream,
        fed: Mapping[int, Float[Tensor, "batch d_model"]],
    ) -> Rollout:
        """Return a run that has had all its thoughts."""
        n_thoughts = self.model.n_thoughts
        with self._hiding(holes, heads):
            if first < 0:
                rollout = self.model.rollout(self.problems, self.questions, n_thoughts)
                rollout.read()
            else:
                after = Thought(first - 1) if first else Prompt()
                rollout = self.rollout.branch(self.rows, after=after)
            for index in range(max(first, 0), n_thoughts):
                frozen = downstream == "frozen" and index > first
                rollout.think(index, fed.get(index, self.own[:, index] if frozen else None))
        return rollout

    def _hiding(self, holes: Holes, heads: Heads) -> AbstractContextManager[None]:
        return hiding(self.model, holes, heads) if holes.any() else nullcontext()
