"""What comes out of variants, as one labelled dataset."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.baseline import Baseline
from cot_attn.interventions._engine.measuring import AttentionDisruption
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.outcomes import DISRUPTIONS
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import ForcedAnswers
from cot_attn.models.rollout import Rollout

WITH_OWN_DIMENSIONS = (*DISRUPTIONS, "answer", "thought_change")
OF_RIGHT_BASELINES = {"failed", "logprob_gold"}
"""A wrong baseline has no right answer to break, and holds no gold value."""


@runtime_checkable
class Beside(Protocol):
    """What is measured off the clean runs of problems, beside their variants.

    Attributes
    ----------
    arrays
        The results, problems first. They fill up, and are kept and restored with those of the
        variants.
    """

    arrays: dict[str, np.ndarray]

    def measure(
        self,
        problems: Sequence[int],
        rollout: Rollout,
        forced: ForcedAnswers,
        log_p: Mapping[str, Float[Tensor, "batch d_vocab"]],
    ) -> None:
        """Fill in the results of a batch.

        Parameters
        ----------
        problems
            The problems' numbers.
        rollout
            Their run until all thoughts have been fed, off which others branch.
        forced
            What they were answered.
        log_p
            Their log-probabilities where the divergences among the outcomes are measured.
        """


class Results:
    """The arrays that fill up while variants run.

    Parameters
    ----------
    model
        The model.
    problems, interventions
        The rows and columns of the result.
    outcomes
        What is measured.
    beside
        What else is measured, off the clean runs.
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Sequence[Problem],
        interventions: Sequence[Intervention],
        outcomes: Sequence[str],
        beside: Beside | None = None,
    ) -> None:
        self.model, self.problems, self.interventions = model, problems, interventions
        self.outcomes = outcomes
        shape = (len(problems), len(interventions))
        plain = [name for name in outcomes if name not in WITH_OWN_DIMENSIONS]
        self.arrays = {name: np.full(shape, np.nan) for name in plain}
        self.disruption = AttentionDisruption(model, set(outcomes) & set(DISRUPTIONS), shape)
        self.answers = np.full(shape, "", dtype=object)
        n_thoughts = model.n_thoughts if "thought_change" in outcomes else 0
        self.thought_change = np.full((*shape, n_thoughts), np.nan)
        self.correct = np.zeros(len(problems), dtype=bool)
        self.baseline_answers = np.full(len(problems), "", dtype=object)
        self.lengths = np.zeros(len(problems), dtype=np.int64)
        self.mean_square = np.zeros(len(problems))
        self.n_thoughts = np.full(len(problems), model.n_thoughts)
        self.beside = {} if beside is None else beside.arrays

    def of_problems(self, problems: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the results of problems, as plain arrays with their numbers."""
        rows = list(problems)
        chosen = {name: array[rows] for name, array in self._everything().items()}
        text = {n: each.astype(str) for n, each in chosen.items() if each.dtype == object}
        return {**chosen, **text, "problems": np.array(rows)}

    def restore(self, finished: Mapping[str, np.ndarray]) -> list[int]:
        """Take over what `of_problems` returned once, and return the numbers of its problems."""
        rows: list[int] = finished["problems"].tolist()
        for name, array in self._everything().items():
            array[rows] = finished[name]
        return rows

    def _everything(self) -> dict[str, np.ndarray]:
        """Return all arrays, problems first."""
        return {
            **self.arrays,
            **self.disruption.arrays,
            "variant_answers": self.answers,
            "thought_change": self.thought_change,
            "baseline_correct": self.correct,
            "baseline_answers": self.baseline_answers,
            "question_lengths": self.lengths,
            "mean_square": self.mean_square,
            "n_thoughts": self.n_thoughts,
            **{f"beside {name}": array for name, array in self.beside.items()},
        }

    def keep_baseline(self, problems: Sequence[int], baseline: Baseline) -> None:
        """Keep what the clean runs say."""
        rows = list(problems)
        self.correct[rows] = baseline.correct
        self.baseline_answers[rows] = baseline.answers
        self.lengths[rows] = baseline.rollout.layout.question_lengths
        squares = baseline.thoughts.float().square().nanmean(dim=(1, 2))
        self.mean_square[rows] = squares.cpu().numpy()
        self.n_thoughts[rows] = baseline.rollout.layout.n_thoughts_each

    def keep_measured(
        self, problems: list[int], variants: list[int], measured: dict[str, Float[Tensor, " batch"]]
    ) -> None:
        """Keep numbers, one for each pair of a problem and a variant."""
        if measured:
            values = torch.stack(list(measured.values())).cpu().numpy()
            for name, row in zip(measured, values, strict=True):
                self.arrays[name][problems, variants] = row

    def keep_answers(self, problems: list[int], variants: list[int], answers: list[str]) -> None:
        """Keep what variants answered, and grade it."""
        self.answers[problems, variants] = answers
        if "failed" in self.arrays:
            self.arrays["failed"][problems, variants] = [
                float(not grade(text, self.problems[problem]).correct)
                for problem, text in zip(problems, answers, strict=True)
            ]

    def keep_thoughts(
        self,
        problems: list[int],
        variants: list[int],
        baseline: Float[Tensor, "batch n_thoughts d_model"],
        fed: Float[Tensor, "batch n_thoughts d_model"],
    ) -> None:
        """Keep how far thoughts point away from the baseline's, behind the first changed one."""
        cosine = torch.cosine_similarity(baseline.float(), fed.float(), dim=-1)
        change = (1 - cosine).clamp(min=0).cpu().numpy()
        for row, variant in zip(change, variants, strict=True):
            changed = list(self.interventions[variant].thoughts)
            row[: changed[0]] = np.nan
            row[changed] = np.nan
        self.thought_change[problems, variants] = change

    def dataset(self, provenance: Mapping[str, str]) -> xr.Dataset:
        """Return everything as one labelled dataset, which says what model it came from."""
        dims = ("problem", "variant")
        for name in self.arrays.keys() & OF_RIGHT_BASELINES:
            self.arrays[name][~self.correct] = np.nan
        variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            name: (dims, values) for name, values in self.arrays.items()
        }
        coordinates = self.disruption.coordinates()
        if "answer" in self.outcomes:
            variables["answer"] = (dims, self.answers)
        if "thought_change" in self.outcomes:
            variables["thought_change"] = ((*dims, "later_thought"), self.thought_change)
            coordinates["later_thought"] = range(self.model.n_thoughts)
        variables |= self.disruption.variables()
        if self.model.stop is not None:
            coordinates["n_thoughts"] = ("problem", self.n_thoughts)
        changes, n_thoughts = self.interventions, self.model.n_thoughts
        changed = [[i in change.thoughts for i in range(n_thoughts)] for change in changes]
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
                "thought": range(n_thoughts),
                "thoughts": (("variant", "thought"), np.array(changed)),
                "corruption": ("variant", [label_of(change.corruption) for change in changes]),
                "site": ("variant", [change.site.label for change in changes]),
                "downstream": ("variant", [change.downstream for change in changes]),
                **coordinates,
            },
            attrs={
                **provenance,
                "n_thoughts": n_thoughts,
                "n_baseline_wrong": int((~self.correct).sum()),
                "thought_rms": float(np.sqrt(np.nanmean(self.mean_square))),
            },
        )
