"""Every variant of every problem, off one run of its prompt.

A batch of problems is read and thinks once. Each variant branches off just before the first
thought that it changes, thinks on, and is made to say the baseline's words; where its most likely
token departs from them it is decoded on its own, with all others that depart in one batch.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from cot_attn.data.problem import Problem
from cot_attn.interventions.baseline import Baseline
from cot_attn.interventions.batching import Batches
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.place import Reference
from cot_attn.interventions.reading import Reader
from cot_attn.interventions.results import Results
from cot_attn.interventions.treatment import treated
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import continued
from cot_attn.models.rollout import Rollout


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
        _, self.questions = model.encode(problems, max_new_tokens=max_new_tokens)

    def run(self, batches: Batches, advance: Callable[[int], None]) -> Results:
        """Run everything, telling `advance` how many variants are done."""
        # Problems of like length side by side, so that little is padding.
        order = sorted(
            range(len(self.problems)), key=lambda i: (len(self.questions[i]), self.problems[i].id)
        )
        batches.work(order, partial(self._problems, batches, advance))
        return self.results

    def _problems(
        self, batches: Batches, advance: Callable[[int], None], chosen: Sequence[int]
    ) -> None:
        """Run a batch of problems with all their variants."""
        problems = [self.problems[i] for i in chosen]
        questions = [self.questions[i] for i in chosen]
        baseline = Baseline(self.model, problems, questions, self.max_new_tokens)
        self.results.keep_baseline(chosen, baseline)
        rows = [row for row, right in enumerate(baseline.correct) if right or not self.only_correct]
        words = self.reader.needed(baseline.words)
        everything = baseline.branch(range(len(chosen)), self.model.n_thoughts)
        with self.results.disruption.baseline(words):
            hidden = words.say(everything)
        known = self.reader.baseline(everything, words, hidden)
        del everything
        for start in sorted({change.thoughts[0] for change in self.interventions}):
            pairs = [
                (row, variant)
                for row in rows
                for variant, change in enumerate(self.interventions)
                if change.thoughts[0] == start
            ]

            def job(some: Sequence[tuple[int, int]], start: int = start) -> None:
                at = torch.tensor([row for row, _ in some], device=self.model.device)
                variants = [variant for _, variant in some]
                self._variants(chosen, baseline, start, at, variants, known)
                advance(len(some))

            batches.work(pairs, job)
        advance((len(chosen) - len(rows)) * len(self.interventions))

    def _variants(
        self,
        chosen: Sequence[int],
        baseline: Baseline,
        start: int,
        at: torch.Tensor,
        variants: list[int],
        known: dict[str, torch.Tensor],
    ) -> None:
        """Run variants that branch off at one thought and keep their outcomes."""
        model, results = self.model, self.results
        rows = at.tolist()
        problems = [chosen[row] for row in rows]
        changes = [self.interventions[variant] for variant in variants]
        words = self.reader.needed(baseline.words).rows(at)
        # The last batch's memory, if nothing went wrong with it.
        spare, self._spare = self._spare, None
        branch = baseline.branch(rows, start, spare)
        with treated(model, changes, self.reference, seed=self.seed):
            fed = [branch.think(index) for index in range(start, model.n_thoughts)]
            with results.disruption.variant(at, words, (problems, variants)):
                hidden = words.say(branch)
        reading = self.reader.read(branch, words, hidden, known, at)
        results.keep_measured(problems, variants, reading.measured)
        if "thought_change" in self.outcomes:
            later = torch.stack(fed, dim=1)
            results.keep_thoughts(problems, variants, baseline.thoughts[at, start:], later)
        self._spare = branch
        if not self.reader.answers:
            return
        answers = [baseline.answers[row] for row in rows]
        departed, n_said = words.departures(reading.best)
        if len(departed):
            resumed = branch.resume(departed, n_said)
            first = reading.best[departed, n_said]
            some = departed.tolist()
            with treated(model, [changes[i] for i in some], self.reference, seed=self.seed):
                added = continued(resumed, first, n_said, self.max_new_tokens)
            said = words.tokens[departed].tolist()
            for i, before, n, after in zip(some, said, n_said.tolist(), added, strict=True):
                answers[i] = model.decode([*before[:n], *after])
        results.keep_answers(problems, variants, answers)
