"""Every variant of every problem, off one run of its prompt.

A batch of problems is read and thinks once. Its variants think together: each joins just before the
first thought that it changes, as a copy of the baseline as it was then. All are forced to the
baseline's answer in one pass; where a variant's most likely token departs from it, the variant is
decoded on its own, with all others that depart in one batch.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.baseline import Baseline, Thinking
from cot_attn.interventions._engine.batches import (
    VariantRows,
    keep_freed_memory,
    passes,
    rows_of_problem,
)
from cot_attn.interventions._engine.measuring import LogitReader
from cot_attn.interventions._engine.results import Beside, Results
from cot_attn.interventions.applying import apply_interventions
from cot_attn.interventions.context import CleanActivations, Context
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.resume import FinishedProblems
from cot_attn.interventions.sites import INPUT
from cot_attn.models.batching import Batches
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import ForcedAnswers, continued
from cot_attn.models.rollout import Rollout


class Engine:
    """Runs variants in batches and keeps their outcomes.

    Parameters
    ----------
    model
        The model.
    problems, questions
        What it is asked, as problems and as token ids.
    interventions, outcomes
        What is done to it and what is measured.
    clean
        The clean activations that the interventions ask for.
    seed
        For random corruptions.
    max_new_tokens
        The greatest number of tokens in an answer.
    only_correct
        Whether variants run only of problems whose baseline is right.
    thinking
        A clean run, perhaps of these problems, from which they need not be run again.
    beside
        What `run` measures off the clean runs, beside the variants.

    Attributes
    ----------
    thinking
        The same, where all problems make one batch.
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        questions: Sequence[Sequence[int]],
        interventions: Sequence[Intervention],
        outcomes: Sequence[str],
        *,
        clean: CleanActivations,
        seed: int,
        max_new_tokens: int,
        only_correct: bool,
        thinking: Thinking | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.model, self.problems, self.questions = model, problems, questions
        self.interventions, self.outcomes = interventions, outcomes
        self.clean, self.seed = clean, seed
        self.max_new_tokens, self.only_correct = max_new_tokens, only_correct
        self.reader = LogitReader(outcomes)
        self.results = Results(model, problems, interventions, outcomes, beside)
        self.thinking, self.beside = thinking, beside
        self._spare: Rollout | None = None
        keep_freed_memory()

    def run(
        self,
        batches: Batches,
        advance: Callable[[int], None],
        finished: FinishedProblems | None = None,
    ) -> Results:
        """Run everything, telling `advance` how many variants are done.

        What an earlier run had finished is taken over, and each batch of problems is kept.
        """
        rows_each = rows_of_problem(len(self.interventions))
        if len(self.problems) * rows_each > batches.size:
            self.thinking = None  # a run that is resumed has other batches, and the same numbers
        done: set[int] = set()
        for arrays in finished.read() if finished else ():
            done.update(self.results.restore(arrays))
        advance(len(done) * len(self.interventions))
        # Problems of like length side by side, so that little is padding.
        order = sorted(
            set(range(len(self.problems))) - done,
            key=lambda i: (len(self.questions[i]), self.problems[i].id),
        )

        def job(chosen: Sequence[int]) -> None:
            self._run_problems(batches, advance, chosen)
            if finished:
                finished.keep(self.results.of_problems(chosen))

        batches.work(order, job, rows_each=rows_each)
        return self.results

    def run_in_sizes(self, sizes: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Run everything in batches of each size in turn, off the same baselines.

        Returns
        -------
        list
            For each size the outcomes as `Results.of_problems` returns them.
        """
        pieces: list[list[dict[str, np.ndarray]]] = [[] for _ in sizes]

        def job(chosen: Sequence[int]) -> None:
            baseline, log_p = self._baseline(chosen)
            for size, piece in zip(sizes, pieces, strict=True):
                self._run_all(Batches(size), lambda done: None, chosen, baseline, log_p)
                piece.append(self.results.of_problems(chosen))

        rows_each = rows_of_problem(len(self.interventions))
        Batches(max(sizes)).work(range(len(self.problems)), job, rows_each=rows_each)
        return [
            {name: np.concatenate([each[name] for each in piece]) for name in piece[0]}
            for piece in pieces
        ]

    def _run_problems(
        self, batches: Batches, advance: Callable[[int], None], chosen: Sequence[int]
    ) -> None:
        """Run a batch of problems with all their variants."""
        baseline, log_p = self._baseline(chosen)
        if self.beside is not None:
            self.beside.measure(chosen, baseline.rollout, baseline.forced, log_p)
        self._run_all(batches, advance, chosen, baseline, log_p)

    def _baseline(
        self, chosen: Sequence[int]
    ) -> tuple[Baseline, dict[str, Float[Tensor, "batch d_vocab"]]]:
        """Run a batch of problems as they are, and return what its variants are compared with."""
        problems = [self.problems[i] for i in chosen]
        questions = [self.questions[i] for i in chosen]
        thinking = Thinking.of(self.model, problems, questions, self.thinking)
        baseline = Baseline(self.model, thinking, problems, self.max_new_tokens)
        results = self.results
        results.keep_baseline(chosen, baseline)
        log_p: dict[str, Tensor] = {}
        if self.reader.divergences or results.disruption.arrays:
            forced, rollout = self.reader.needed(baseline.forced), baseline.after_thoughts()
            with results.disruption.baseline(forced):
                hidden = forced.teacher_force(rollout)
            log_p = self.reader.baseline(rollout, forced, hidden)
        return baseline, log_p

    def _run_all(
        self,
        batches: Batches,
        advance: Callable[[int], None],
        chosen: Sequence[int],
        baseline: Baseline,
        log_p: dict[str, Float[Tensor, "batch d_vocab"]],
    ) -> None:
        """Run all variants of a batch of problems."""
        rows = [row for row, right in enumerate(baseline.correct) if right or not self.only_correct]
        pairs = [
            (row, variant)
            for row, variant in product(rows, range(len(self.interventions)))
            if self._is_there(chosen[row], variant)
        ]

        def job(pairs: Sequence[tuple[int, int]]) -> None:
            variants = VariantRows.of(pairs, self.interventions, chosen, self.model.device)
            self._run_variants(baseline, variants, log_p)
            advance(len(pairs))

        batches.work(pairs, job)
        advance(len(chosen) * len(self.interventions) - len(pairs))

    def _is_there(self, problem: int, variant: int) -> bool:
        """Whether a problem has the thoughts that a variant changes, and what it draws on.

        With a stop rule it may not. The clean activations come from another batch, in which
        rounding can have stopped a problem elsewhere: that problem is left out.
        """
        if self.model.stop is None:
            return True
        change, name = self.interventions[variant], self.problems[problem].id
        if change.thoughts[-1] >= self.results.n_thoughts[problem]:
            return False
        clean = self.clean
        if clean.n_thoughts is None:
            return True
        if clean.n_thoughts[clean.rows([name])[0]] != self.results.n_thoughts[problem]:
            return False
        possible = getattr(change.corruption, "possible", lambda context: True)
        hook = next(iter(change.site.hooks(self.model)), INPUT)
        return all(
            possible(Context(name, thought, self.seed, clean, hook)) for thought in change.thoughts
        )

    def _run_variants(
        self,
        baseline: Baseline,
        variants: VariantRows,
        log_p: dict[str, Float[Tensor, "batch d_vocab"]],
    ) -> None:
        """Run variants of a batch's problems and keep their outcomes."""
        results = self.results
        rollout, fed = self._think(baseline, variants)
        if "thought_change" in self.outcomes:
            clean_thoughts = baseline.thoughts[variants.baseline_rows]
            results.keep_thoughts(*variants.cells, clean_thoughts, fed)
        forced = self.reader.needed(baseline.forced).rows(variants.baseline_rows)
        views, best = [], []
        for rows in passes(len(variants), forced.tokens.shape[1], self.model.device):
            view, few, answers = rollout.view(rows), variants.rows(rows), forced.rows(rows)
            disrupted = results.disruption.variant(few.baseline_rows, answers, few.cells)
            with self._applied(few), disrupted:
                hidden = answers.teacher_force(view)
            reading = self.reader.read(view, answers, hidden, log_p, few.baseline_rows)
            results.keep_measured(*few.cells, reading.measured)
            views.append(view)
            best.append(reading.best)
        if self.reader.answers:
            rollout.merge(views)
            texts = self._answers(baseline, variants, forced, rollout, torch.cat(best))
            results.keep_answers(*variants.cells, texts)
        # The next batch may have this one's memory, as nothing went wrong with it.
        self._spare = rollout

    def _think(
        self, baseline: Baseline, variants: VariantRows
    ) -> tuple[Rollout, Float[Tensor, "rows n_thoughts d_model"]]:
        """Return the variants when all thoughts have been fed, and what was fed to each."""
        rows, first = variants.baseline_rows, variants.first_thought
        fed = baseline.thoughts[rows]
        spare, self._spare = self._spare, None
        n_rows = variants.n_begun(first)
        rollout = baseline.branch(rows[:n_rows], first, n_rows=len(variants), spare=spare)
        for thought in range(first, self.model.n_thoughts):
            joining = slice(n_rows, variants.n_begun(thought))
            rollout.append_rows(baseline.rollout, rows[joining])
            n_rows = joining.stop
            with self._applied(variants.rows(slice(n_rows))):
                fed[:n_rows, thought] = rollout.think(thought)
        return rollout, fed

    def _answers(
        self,
        baseline: Baseline,
        variants: VariantRows,
        forced: ForcedAnswers,
        rollout: Rollout,
        best: Int[Tensor, "rows n_tokens"],
    ) -> list[str]:
        """Return what variants answer that have been forced to the baseline's answers."""
        answers = [baseline.answers[row] for row in variants.baseline_rows.tolist()]
        departures = forced.departures(best)
        departed = torch.nonzero(departures >= 0)[:, 0]
        if not len(departed):
            return answers
        departed = departed[departures[departed].argsort(stable=True)]
        rollout.select(departed)
        n_shared, rows = departures[departed], departed.tolist()
        changes = [variants.interventions[row] for row in rows]
        with apply_interventions(self.model, changes, self.clean, seed=self.seed):
            added = continued(rollout, best[departed, n_shared], n_shared, self.max_new_tokens)
        tokens = forced.tokens[departed].tolist()
        for row, before, n, after in zip(rows, tokens, n_shared.tolist(), added, strict=True):
            answers[row] = self.model.decode([*before[:n], *after])
        return answers

    def _applied(self, variants: VariantRows) -> AbstractContextManager[ContinuousThoughtModel]:
        changes = variants.interventions
        return apply_interventions(self.model, changes, self.clean, seed=self.seed)
