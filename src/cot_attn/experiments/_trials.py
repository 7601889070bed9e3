"""Runs of a batch in which something is hidden or another thought is fed, beside its own."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.data import Problem
from cot_attn.experiments._forced import TeacherForced, divergence, forced_answers
from cot_attn.experiments._hiding import Heads, Holes, hiding, no_holes
from cot_attn.interventions import Downstream
from cot_attn.models import ContinuousThoughtModel, Layout, Prompt, Rollout, Thought, greedy

ROWS = 256
"""So many rows run at once."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One change of a batch's runs.

    Parameters
    ----------
    holes, heads
        What is hidden from what, and from which heads.
    first
        The first thought that sees less or is another: -1 where the prompt does already.
    downstream
        What later thoughts are made of.
    fed
        What is fed in the place of thoughts.
    """

    holes: Holes
    heads: Bool[Tensor, "1 layer head"]
    first: int
    downstream: Downstream = "recompute"
    fed: Mapping[int, Float[Tensor, "batch d_model"]] = field(default_factory=dict)


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
    thoughts
        The vectors that were fed.
    answers
        The answers, as text.
    forced
        The answers, which changed runs are forced to.
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
        self.thoughts: Float[Tensor, "batch n_thoughts d_model"] = torch.stack(fed, dim=1)
        self.rows = torch.arange(len(problems), device=model.device)
        closed = self.rollout.branch(self.rows)
        tokens = greedy(closed, closed.close(), max_new_tokens)
        self.answers = [model.decode(each) for each in tokens]
        self.forced = forced_answers(model, problems, tokens, max_new_tokens)
        self._known = TeacherForced(self.rollout.branch(self.rows), self.forced).at_value()

    @property
    def layout(self) -> Layout:
        """Where everything stands."""
        return self.rollout.layout

    def no_holes(self) -> Holes:
        """Return holes for every column that there will be, none of them open yet."""
        return no_holes(self.layout, self.max_new_tokens, self.model.device)

    def run(self, trials: Sequence[Trial]) -> list[tuple[list[str], np.ndarray]]:
        """Run the batch once for each trial.

        Returns
        -------
        list of tuple
            The answers, and KL(unchanged || changed) at the value of the unchanged answer, in nats.
        """
        groups: dict[object, list[int]] = {}
        for number, trial in enumerate(trials):
            kind = (trial.first, trial.downstream, tuple(sorted(trial.fed)))
            groups.setdefault(kind, []).append(number)
        found: dict[int, tuple[list[str], np.ndarray]] = {}
        at_once = max(1, ROWS // len(self.problems))
        for numbers in groups.values():
            for start in range(0, len(numbers), at_once):
                chunk = numbers[start : start + at_once]
                found.update(zip(chunk, self._together([trials[i] for i in chunk]), strict=True))
        return [found[number] for number in range(len(trials))]

    def _together(self, trials: Sequence[Trial]) -> list[tuple[list[str], np.ndarray]]:
        """Run trials of one kind as the rows of one batch."""
        n_rows, rows = len(self.problems), self.rows.repeat(len(trials))
        holes = torch.cat([trial.holes for trial in trials])
        heads = torch.cat([trial.heads.expand(n_rows, -1, -1) for trial in trials])
        forced = self.forced.rows(rows)
        rollout = self._thinking(trials, rows, holes, heads)
        every = torch.arange(len(rows), device=rows.device)
        with self._hiding(holes, heads):
            teacher_forced = TeacherForced(rollout.branch(every), forced)
            kl = divergence(self._known[rows], teacher_forced.at_value()).cpu().numpy()
            departed = teacher_forced.departed()
        answers = self.answers * len(trials)
        if len(departed):
            with self._hiding(holes[departed], heads[departed]):
                branch = rollout.branch(departed)
                tokens = greedy(branch, branch.close(), self.max_new_tokens)
            for row, answer in zip(departed.tolist(), tokens, strict=True):
                answers[row] = self.model.decode(answer)
        starts = range(0, len(rows), n_rows)
        return [(answers[i : i + n_rows], kl[i : i + n_rows]) for i in starts]

    def _thinking(
        self, trials: Sequence[Trial], rows: Int[Tensor, " rows"], holes: Holes, heads: Heads
    ) -> Rollout:
        """Return runs that have had all their thoughts."""
        n_thoughts, first, downstream = self.model.n_thoughts, trials[0].first, trials[0].downstream
        with self._hiding(holes, heads):
            if first < 0:
                problems = [self.problems[row] for row in rows.tolist()]
                questions = [self.questions[row] for row in rows.tolist()]
                rollout = self.model.rollout(problems, questions, n_thoughts)
                rollout.read()
            else:
                after = Thought(first - 1) if first else Prompt()
                rollout = self.rollout.branch(rows, after=after)
            for index in range(max(first, 0), n_thoughts):
                if index in trials[0].fed:
                    rollout.think(index, torch.cat([trial.fed[index] for trial in trials]))
                elif downstream == "frozen" and index > first:
                    rollout.think(index, self.thoughts[rows, index])
                else:
                    rollout.think(index)
        return rollout

    def _hiding(self, holes: Holes, heads: Heads) -> AbstractContextManager[None]:
        return hiding(self.model, holes, heads) if holes.any() else nullcontext()
