"""Where a corruption acts, and what it may draw on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.interventions.seeds import generator, number
from cot_attn.interventions.sites import INPUT, Hook

Activations = Float[Tensor, "n_problems n_thoughts *site"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Activations of a set of problems in their unchanged runs.

    Parameters
    ----------
    ids
        The problems, sorted.
    activations
        Their activations at each hook that somebody will ask for: problems, thoughts, then the
        dimensions of the hook.
    donors
        Which of the problems may donate.
    """

    ids: tuple[str, ...]
    activations: Mapping[Hook, Activations]
    donors: frozenset[str]

    def __post_init__(self) -> None:
        lengths = {len(each) for each in self.activations.values()} | {len(self.ids)}
        if len(lengths) > 1 or list(self.ids) != sorted(set(self.ids)):
            raise ValueError(
                f"A reference has {len(self.ids)} ids and rows of activations {sorted(lengths)}. "
                "Give one row for each of the sorted, different ids."
            )

    def rows(self, ids: Sequence[str]) -> list[int]:
        """Return the rows of problems; raise where one is not part of the reference."""
        missing = [problem for problem in ids if problem not in self._index]
        if missing:
            raise ValueError(
                f"Problem {missing[0]!r} is not part of the reference set, so its baseline is not "
                "known. Give the reference all problems that are run."
            )
        return [self._index[problem] for problem in ids]

    def others(self, problem: str) -> int:
        """Return how many problems may donate to a problem; raise where there is none."""
        count = len(self._donor_rows) - (problem in self.donors)
        if not count:
            raise ValueError(
                f"There is no other problem that could donate to {problem!r}. Resample and Mean "
                "need at least two problems, or a reference set with others in it."
            )
        return count

    def at(self, hook: Hook) -> Activations:
        """Return the activations at a hook; raise where they were not collected."""
        if hook not in self.activations:
            raise ValueError(
                f"The baselines at {hook.label!r} were not collected. A corruption that says "
                "needs_baseline = False must not ask for them."
            )
        return self.activations[hook]

    def donor(self, hook: Hook, problem: str, choice: int) -> Float[Tensor, "n_thoughts *site"]:
        """Return the activations of donor number `choice`, the problem itself not counted."""
        if problem in self.donors and choice >= self._donor_rows.index(self._index[problem]):
            choice += 1
        return self.at(hook)[self._donor_rows[choice]]

    def mean(self, hook: Hook, problem: str) -> Float[Tensor, "n_thoughts *site"]:
        """Return the mean activations of all donors but the problem itself, as float64."""
        count = self.others(problem)
        if hook not in self._totals:
            self._totals[hook] = self.at(hook)[self._donor_rows].double().sum(dim=0)
        own = self.at(hook)[self._index[problem]].double() if problem in self.donors else 0.0
        mean: Tensor = (self._totals[hook] - own) / count
        return mean

    @cached_property
    def _index(self) -> dict[str, int]:
        return {problem: row for row, problem in enumerate(self.ids)}

    @cached_property
    def _donor_rows(self) -> list[int]:
        return [row for row, problem in enumerate(self.ids) if problem in self.donors]

    @cached_property
    def _totals(self) -> dict[Hook, Tensor]:
        return {}


@dataclass(frozen=True, eq=False)
class Place:
    """One thought of one problem at one hook, with what a corruption may draw on.

    Parameters
    ----------
    problem
        The problem's id.
    thought
        The thought's index.
    seed
        The experiment's seed.
    reference
        Baseline activations of the problem and of possible donors.
    hook
        Where the activation was taken. A site of several hooks asks a corruption once for each.
    """

    problem: str
    thought: int
    seed: int
    reference: Reference
    hook: Hook = INPUT

    @property
    def baseline(self) -> Float[Tensor, "n_thoughts *site"]:
        """The problem's own activations at the hook in its unchanged run."""
        return self.reference.at(self.hook)[self.reference.rows([self.problem])[0]]

    def generator(self, label: str) -> torch.Generator:
        """Return random numbers that seed, problem, thought, hook and corruption decide."""
        return generator(self.seed, self.problem, self.thought, self.hook.name, label)

    def problem_generator(self, label: str) -> torch.Generator:
        """Return random numbers that all thoughts and hooks of the problem share."""
        return generator(self.seed, self.problem, label)

    def choice(self, label: str, count: int) -> int:
        """Return one of `count` numbers, the same at all hooks of a site."""
        return number(self.seed, self.problem, self.thought, label) % count

    def donor(self, label: str) -> Float[Tensor, "*site"]:
        """Return this thought's activation in another problem, chosen by hash."""
        choice = self.choice(label, self.reference.others(self.problem))
        return self.reference.donor(self.hook, self.problem, choice)[self.thought]

    def mean(self) -> Float[Tensor, "*site"]:
        """Return the mean of this thought's activations over the other problems."""
        return self.reference.mean(self.hook, self.problem)[self.thought]
