"""Every variant of every problem, off one run of its prompt.

A batch of problems is read and thinks once. Its variants think together: each joins just before the
first thought that it changes, as a copy of the baseline at that place. All are then made to say the
baseline's words; where a variant's most likely token departs from them it is decoded on its own,
with all others that depart in one batch.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.baseline import Baseline, Words
from cot_attn.interventions._engine.batches import Batches, Pairs, keep_freed_memory, parts
from cot_attn.interventions._engine.measuring import Reader
from cot_attn.interventions._engine.results import Results
from cot_attn.interventions.applying import treated
from cot_attn.interventions.context import Reference
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.resume import Unfinished
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import continued
from cot_attn.models.rollout import Rollout

ROWS_OF_A_PROBLEM = 8
"""One problem is read for so many rows; its own keys and values are a small part of theirs."""


class Engine:
    """Runs variants in batches and keeps their outcomes.

    Parameters
    ----------
    model
        The model.
    problems, interventions, outcomes
        What is run and measured.
    reference
        The unchanged activations that the interventions ask for.
    seed
        For random corruptions.
    max_new_tokens
        The greatest number of tokens in an answer.
    only_correct
        Whether variants run only of problems whose baseline is right.
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        interventions: Sequence[Intervention],
        outcomes: Sequence[str],
        *,
        reference: Reference,
        seed: int,
        max_new_tokens: int,
        only_correct: bool,
    ) -> None:
        self.model, self.problems, self.interventions = model, problems, interventions
        self.reference, self.seed = reference, seed
        self.max_new_tokens, self.only_correct = max_new_tokens, only_correct
        self.reader = Reader(outcomes)
        self.outcomes = outcomes
        self.results = Results(model, problems, interventions, outcomes)
        self._spare: Rollout | None = None
        keep_freed_memory()
        _, self.questions = model.encode(problems, max_new_tokens=max_new_tokens)

    def run(
        self,
        batches: Batches,
        advance: Callable[[int], None],
        unfinished: Unfinished | None = None,
    ) -> Results:
        """Run everything, telling `advance` how many variants are done.

        What an earlier run had finished is taken over, and each batch of problems is kept.
        """
        done: set[int] = set()
        for part in unfinished.parts() if unfinished else ():
            done.update(self.results.restore(part))
        advance(len(done) * len(self.interventions))
        # Problems of like length side by side, so that little is padding.
        order = sorted(
            set(range(len(self.problems))) - done,
            key=lambda i: (len(self.questions[i]), self.problems[i].id),
        )

        def job(chosen: Sequence[int]) -> None:
            self._problems(batches, advance, chosen)
            if unfinished:
                unfinished.keep(self.results.part(chosen))

        batches.work(order, job, rows_each=min(ROWS_OF_A_PROBLEM, len(self.interventions)))
        return self.results

    def _problems(
        self, batches: Batches, advance: Callable[[int], None], chosen: Sequence[int]
    ) -> None:
        """Run a batch of problems with all their variants."""
        problems = [self.problems[i] for i in chosen]
        questions = [self.questions[i] for i in chosen]
        baseline = Baseline(self.model, problems, questions, self.max_new_tokens)
        results = self.results
        results.keep_baseline(chosen, baseline)
        known: dict[str, Tensor] = {}
        if self.reader.divergences or results.disruption.arrays:
            words, everything = self.reader.needed(baseline.words), baseline.everything()
            with results.disruption.baseline(words):
                hidden = words.say(everything)
            known = self.reader.baseline(everything, words, hidden)
            del everything, hidden
        rows = [row for row, right in enumerate(baseline.correct) if right or not self.only_correct]

        def job(some: Sequence[tuple[int, int]]) -> None:
            pairs = Pairs.of(some, self.interventions, chosen, self.model.device)
            self._variants(baseline, pairs, known)
            advance(len(some))

        batches.work(list(product(rows, range(len(self.interventions)))), job)
        advance((len(chosen) - len(rows)) * len(self.interventions))

    def _variants(
        self, baseline: Baseline, pairs: Pairs, known: dict[str, Float[Tensor, "batch d_vocab"]]
    ) -> None:
        """Run variants of a batch's problems and keep their outcomes."""
        results = self.results
        branch, fed = self._think(baseline, pairs)
        if "thought_change" in self.outcomes:
            results.keep_thoughts(*pairs.places, baseline.thoughts[pairs.at], fed)
        words = self.reader.needed(baseline.words).rows(pairs.at)
        several, best = [], []
        for rows in parts(len(pairs), words.tokens.shape[1], self.model.device):
            part, some, own = branch.part(rows), pairs.rows(rows), words.rows(rows)
            with self._treated(some), results.disruption.variant(some.at, own, some.places):
                hidden = own.say(part)
            reading = self.reader.read(part, own, hidden, known, some.at)
            results.keep_measured(*some.places, reading.measured)
            several.append(part)
            best.append(reading.best)
        if self.reader.answers:
            branch.rejoin(several)
            answers = self._answers(baseline, pairs, words, branch, torch.cat(best))
            results.keep_answers(*pairs.places, answers)
        # The next batch may have this one's memory, as nothing went wrong with it.
        self._spare = branch

    def _think(
        self, baseline: Baseline, pairs: Pairs
    ) -> tuple[Rollout, Float[Tensor, "rows n_thoughts d_model"]]:
        """Return the variants when all thoughts have been fed, and what was fed to each."""
        fed = baseline.thoughts[pairs.at]
        spare, self._spare = self._spare, None
        n_rows = pairs.begun(pairs.first)
        branch = baseline.branch(pairs.at[:n_rows], pairs.first, n_rows=len(pairs), spare=spare)
        for thought in range(pairs.first, self.model.n_thoughts):
            joining = slice(n_rows, pairs.begun(thought))
            branch.admit(baseline.rollout, pairs.at[joining])
            n_rows = joining.stop
            with self._treated(pairs.rows(slice(n_rows))):
                fed[:n_rows, thought] = branch.think(thought)
        return branch, fed

    def _answers(
        self,
        baseline: Baseline,
        pairs: Pairs,
        words: Words,
        branch: Rollout,
        best: Int[Tensor, "rows n_tokens"],
    ) -> list[str]:
        """Return what variants answer, which have said the baseline's words."""
        answers = [baseline.answers[row] for row in pairs.at.tolist()]
        before = words.departures(best)
        departed = torch.nonzero(before >= 0)[:, 0]
        if not len(departed):
            return answers
        departed = departed[before[departed].argsort(stable=True)]
        branch.keep(departed)
        n_said, some = before[departed], departed.tolist()
        with treated(self.model, [pairs.changes[i] for i in some], self.reference, seed=self.seed):
            added = continued(branch, best[departed, n_said], n_said, self.max_new_tokens)
        spoken = words.tokens[departed].tolist()
        for i, said, n, after in zip(some, spoken, n_said.tolist(), added, strict=True):
            answers[i] = self.model.decode([*said[:n], *after])
        return answers

    def _treated(self, pairs: Pairs) -> AbstractContextManager[ContinuousThoughtModel]:
        return treated(self.model, pairs.changes, self.reference, seed=self.seed)
