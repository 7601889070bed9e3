"""The one way to intervene: every variant of every problem, off one run of its prompt.

A batch of problems is read and thinks once. Each variant branches off just before the first
thought that it changes, thinks on, and is made to say the baseline's words; where its most likely
token departs from them it is decoded on its own.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
import xarray as xr

from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem, check_problems
from cot_attn.interventions.baseline import Baseline, answers_of_variants, say
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.disruption import Disruption
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.outcomes import DEFAULT, DISRUPTIONS, check_outcomes, measured
from cot_attn.interventions.place import Reference
from cot_attn.interventions.treatment import collect, treated
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.progress import progress

Item = TypeVar("Item")


@torch.no_grad()
def run_variants(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    interventions: Sequence[Intervention],
    outcomes: Sequence[str] = DEFAULT,
    *,
    max_new_tokens: int = 64,
    batch_size: int = 128,
    seed: int = 0,
    reference: Sequence[Problem] | None = None,
    only_correct: bool = True,
) -> xr.Dataset:
    """Run every intervention on every problem and measure what it did.

    Parameters
    ----------
    model
        The model.
    problems
        What it is asked; ids must differ.
    interventions
        The variants; their labels must differ.
    outcomes
        What is measured: `failed` (1 where the variant's answer is wrong), `answer` (its text),
        `kl_first`, `kl_value` (KL(baseline || variant) in nats at the first answer token and at
        the first token of the value, both saying the baseline's words), `logprob_gold`
        (log-probability of the value's tokens, which in a right baseline are the gold value's),
        `logprob_baseline` (of the baseline's whole answer), `disruption_l2` and `disruption_tv`
        (distance between attention rows from `eot` and `answer_value`, mean over heads).
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        How many rows run at once; no result depends on it beyond float noise.
    seed
        For random corruptions. With problem id, thought and corruption it decides every choice.
    reference
        The problems that may donate to Resample and Mean; by default `problems`.
    only_correct
        Whether variants run only of problems whose baseline is right. All problems stay in the
        result; what did not run is NaN.

    Returns
    -------
    xr.Dataset
        The outcomes over (problem, variant), with `layer` and `query` added for disruptions.
        Along `problem`: `difficulty`, `question_length`, `baseline_correct`, `baseline_answer`.
        Along `variant`: `thoughts`, `corruption`, `site`, `downstream`.

    Raises
    ------
    ValueError
        Where problems or labels repeat, a thought does not exist, or an outcome is not known.
    """
    check_problems(problems)
    check_outcomes(outcomes)
    _check_interventions(interventions, model.n_thoughts)
    if reference is not None and not reference:
        raise ValueError(
            "reference is empty. Give the problems that may donate, or None for `problems` "
            "themselves."
        )
    if batch_size < 1 or max_new_tokens < 1:
        raise ValueError(
            f"batch_size is {batch_size} and max_new_tokens {max_new_tokens}; give at least 1."
        )
    _, questions = model.encode(problems, max_new_tokens=max_new_tokens)
    known = collect(model, problems, donors=reference, batch_size=batch_size)
    results = _Results(model, problems, interventions, outcomes, seed)
    # Problems of like length side by side, so that little is padding.
    order = sorted(range(len(problems)), key=lambda i: (len(questions[i]), problems[i].id))
    with progress(f"{model.name} variants", len(problems) * len(interventions)) as advance:
        for chosen in _chunks(order, batch_size):
            baseline = Baseline(
                model, [problems[i] for i in chosen], [questions[i] for i in chosen], max_new_tokens
            )
            results.keep_baseline(chosen, baseline)
            for rows, changes, variants in _jobs(
                baseline, interventions, batch_size, only_correct=only_correct
            ):
                results.keep_variants(chosen, baseline, rows, changes, variants, known)
                advance(len(rows))
            advance((baseline.correct.count(False) * len(interventions)) if only_correct else 0)
    return results.dataset(max_new_tokens, known)


def _jobs(
    baseline: Baseline,
    interventions: Sequence[Intervention],
    batch_size: int,
    *,
    only_correct: bool,
) -> Iterator[tuple[list[int], list[Intervention], list[int]]]:
    """Yield batches of variants that branch off at the same thought: rows, changes, variants."""
    rows = [row for row, correct in enumerate(baseline.correct) if correct or not only_correct]
    starts = {change.thoughts[0] for change in interventions}
    for start in sorted(starts):
        pairs = [
            (row, variant)
            for row in rows
            for variant, change in enumerate(interventions)
            if change.thoughts[0] == start
        ]
        for some in _chunks(pairs, batch_size):
            yield (
                [row for row, _ in some],
                [interventions[variant] for _, variant in some],
                [variant for _, variant in some],
            )


class _Results:
    """The arrays that fill up while variants run."""

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        interventions: Sequence[Intervention],
        outcomes: Sequence[str],
        seed: int,
    ) -> None:
        self.model, self.problems, self.interventions = model, problems, interventions
        self.outcomes, self.seed = outcomes, seed
        shape = (len(problems), len(interventions))
        self.disruption = Disruption(model, set(outcomes) & set(DISRUPTIONS), shape)
        plain = [name for name in outcomes if name not in DISRUPTIONS and name != "answer"]
        self.arrays = {name: np.full(shape, np.nan) for name in plain}
        self.answers = np.full(shape, "", dtype=object)
        self.correct = np.zeros(len(problems), dtype=bool)
        self.baseline_answers = np.full(len(problems), "", dtype=object)
        self.lengths = np.zeros(len(problems), dtype=np.int64)

    def keep_baseline(self, chosen: Sequence[int], baseline: Baseline) -> None:
        """Measure and keep the unchanged runs of a batch."""
        self.correct[chosen] = baseline.correct
        self.baseline_answers[chosen] = baseline.answers
        self.lengths[chosen] = baseline.rollout.layout.question_lengths
        whole = baseline.branch(range(len(chosen)), self.model.n_thoughts)
        with self.disruption.baseline(baseline.words):
            self.baseline_logits = say(whole, baseline.words)

    def keep_variants(
        self,
        chosen: Sequence[int],
        baseline: Baseline,
        rows: list[int],
        changes: list[Intervention],
        variants: list[int],
        known: Reference,
    ) -> None:
        """Run one batch of variants and keep their outcomes."""
        model = self.model
        start = changes[0].thoughts[0]
        branch = baseline.branch(rows, start)
        with treated(model, changes, known, seed=self.seed):
            for index in range(start, model.n_thoughts):
                branch.think(index)
        at = torch.tensor(rows, device=branch.hidden.device)
        words = baseline.words.rows(at)
        here = ([chosen[row] for row in rows], variants)
        with self.disruption.variant(at, words, here):
            logits = say(branch, words)
        compared = measured(self.outcomes, words, self.baseline_logits[at], logits)
        for name, values in compared.items():
            self.arrays[name][here] = values.cpu().numpy()
        if not {"failed", "answer"} & set(self.outcomes):
            return
        own = answers_of_variants(branch, logits, words, baseline.max_new_tokens)
        for row, variant, tokens in zip(rows, variants, own, strict=True):
            problem = chosen[row]
            text = baseline.answers[row] if tokens is None else model.decode(tokens)
            self.answers[problem, variant] = text
            if "failed" in self.arrays:
                right = grade(text, self.problems[problem]).correct
                self.arrays["failed"][problem, variant] = float(not right)

    def dataset(self, max_new_tokens: int, known: Reference) -> xr.Dataset:
        """Return everything as one labelled dataset."""
        dims = ("problem", "variant")
        if "failed" in self.arrays:
            self.arrays["failed"][~self.correct] = np.nan
        variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            name: (dims, values) for name, values in self.arrays.items()
        }
        if "answer" in self.outcomes:
            variables["answer"] = (dims, self.answers)
        variables |= self.disruption.variables()
        changes = self.interventions
        difficulty = [np.nan if p.difficulty is None else p.difficulty for p in self.problems]
        return xr.Dataset(
            variables,
            coords={
                "problem": np.array([problem.id for problem in self.problems], dtype=object),
                "difficulty": ("problem", np.array(difficulty, dtype=float)),
                "question_length": ("problem", self.lengths),
                "baseline_correct": ("problem", self.correct),
                "baseline_answer": ("problem", self.baseline_answers),
                "variant": [change.label for change in changes],
                "thoughts": ("variant", [" ".join(map(str, c.thoughts)) for c in changes]),
                "corruption": ("variant", [label_of(change.corruption) for change in changes]),
                "site": ("variant", [change.site for change in changes]),
                "downstream": ("variant", [change.downstream for change in changes]),
                **self.disruption.coordinates(),
            },
            attrs={
                **self.model.provenance(),
                "n_thoughts": self.model.n_thoughts,
                "max_new_tokens": max_new_tokens,
                "seed": self.seed,
                "n_baseline_wrong": int((~self.correct).sum()),
                "n_donors": len(known.donors),
                "thought_rms": float(known.activations.float().square().mean().sqrt()),
            },
        )


def _check_interventions(interventions: Sequence[Intervention], n_thoughts: int) -> None:
    if not interventions:
        raise ValueError("There are no interventions. Give at least one Intervention.")
    for change in interventions:
        if change.thoughts[-1] >= n_thoughts:
            raise ValueError(
                f"{change.label!r} names thought {change.thoughts[-1]}; this model thinks "
                f"{n_thoughts} thoughts, 0 to {n_thoughts - 1}."
            )
    labels = [change.label for change in interventions]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ValueError(
            f"Two interventions are called {repeated[0]!r}. Results are joined by label: leave one "
            "out, or give the corruption another `label`."
        )


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
