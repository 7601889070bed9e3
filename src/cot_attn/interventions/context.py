"""What a corruption may draw on: clean activations, and the context of the thought it changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from cot_attn._former import former_arguments, former_method, warn
from cot_attn.interventions.sites import INPUT, Hook
from cot_attn.models.seeds import generator, number

Activations = Float[Tensor, "n_problems n_thoughts *site"]


@dataclass(frozen=True, eq=False)
class CleanActivations:
    """The activations of problems whose runs nothing changed.

    Parameters
    ----------
    ids
        The problems, sorted.
    activations
        Their activations at each hook that somebody will ask for: problems, thoughts, then the
        dimensions of the hook.
    donors
        Which of the problems may donate.
    n_thoughts
        How many thoughts each problem has, where a stop rule makes them differ; what stands behind
        is NaN. By default all have all of them. A problem donates no thought that it does not have.

    Examples
    --------
    Two problems with two thoughts, of which the first alone may donate:

    >>> import torch
    >>> from cot_attn.interventions import CleanActivations, Hook
    >>> thoughts = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    >>> clean = CleanActivations(("a", "b"), {Hook("input"): thoughts}, frozenset({"a"}))
    >>> clean["input"][:, 0].tolist()
    [[1.0], [3.0]]
    """

    ids: tuple[str, ...]
    activations: Mapping[Hook, Activations]
    donors: frozenset[str]
    n_thoughts: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        lengths = {len(each) for each in self.activations.values()} | {len(self.ids)}
        if len(lengths) > 1 or list(self.ids) != sorted(set(self.ids)):
            raise ValueError(
                f"CleanActivations have {len(self.ids)} ids and rows of activations "
                f"{sorted(lengths)}. Give one row for each of the sorted, different ids."
            )

    def __getitem__(self, hook: Hook | str) -> Activations:
        """Return the activations at a hook; raise where they were not collected."""
        hook = Hook(hook) if isinstance(hook, str) else hook
        if hook not in self.activations:
            raise ValueError(
                f"The clean activations at {hook.label!r} were not collected. A corruption that "
                "says needs_baseline = False must not ask for them."
            )
        return self.activations[hook]

    def at(self, hook: Hook | str) -> Activations:
        """Return `clean[hook]`, under its former name."""
        warn("CleanActivations.at(hook)", "clean[hook]")
        return self[hook]

    def rows(self, ids: Sequence[str]) -> list[int]:
        """Return the rows of problems; raise where one is not among them."""
        missing = [problem for problem in ids if problem not in self._row_of]
        if missing:
            raise ValueError(
                f"Problem {missing[0]!r} is not among the clean activations, so its baseline is "
                "not known. Collect those of all problems that are run."
            )
        return [self._row_of[problem] for problem in ids]

    def has(self, problem: str, thought: int) -> bool:
        """Whether a problem has a thought."""
        return self.n_thoughts is None or thought < self.n_thoughts[self.rows([problem])[0]]

    def n_others(self, problem: str, thought: int = 0) -> int:
        """Return how many other problems may donate a thought to a problem."""
        rows, numbers = self._donors_of(thought)
        return len(rows) - (self._row_of.get(problem) in numbers)

    def n_donors(self, problem: str, thought: int = 0) -> int:
        """Return how many problems may donate a thought to a problem; raise where there is none."""
        count = self.n_others(problem, thought)
        if not count:
            which = "" if self.n_thoughts is None else f" and has a thought {thought}"
            raise ValueError(
                f"There is no other problem that could donate to {problem!r}{which}. Resample and "
                "Mean need at least two problems, or donors= with others among them."
            )
        return count

    def donor(self, problem: str, choice: int, thought: int = 0) -> int:
        """Return the row of donor number `choice`, the problem itself not counted."""
        rows, numbers = self._donors_of(thought)
        skipped = numbers.get(self._row_of[problem], len(rows))
        return rows[choice + (choice >= skipped)]

    def select(
        self, hook: Hook, sources: Sequence[tuple[int, int]]
    ) -> Float[Tensor, "n_sources *site"]:
        """Return the activations of chosen rows and thoughts."""
        rows, thoughts = zip(*sources, strict=True)
        return self[hook][list(rows), list(thoughts)]

    def means(
        self, hook: Hook, problems: Sequence[str], thought: int
    ) -> Float[Tensor, "n_problems *site"]:
        """Return, as float64, the mean activation of a thought over all donors but each problem."""
        counts = [self.n_donors(problem, thought) for problem in problems]
        activations, (donors, numbers) = self[hook], self._donors_of(thought)
        if (hook, thought) not in self._sums:
            self._sums[hook, thought] = activations[donors, thought].double().sum(dim=0)
        total = self._sums[hook, thought]
        # Problems last, so that one number a problem fits to activations of any shape.
        each = rearrange(activations[self.rows(problems), thought].double(), "p ... -> ... p")
        donates = each.new_tensor([self._row_of[problem] in numbers for problem in problems])
        means = (total[..., None] - donates * each) / each.new_tensor(counts)
        return rearrange(means, "... p -> p ...")

    taken = former_method("CleanActivations", "taken", "select")
    others = former_method("CleanActivations", "others", "n_donors")

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {problem: row for row, problem in enumerate(self.ids)}

    def _donors_of(self, thought: int) -> tuple[list[int], dict[int, int]]:
        """Return the rows of those that may donate a thought, in order, and each one's number."""
        key = 0 if self.n_thoughts is None else thought
        if key not in self._donors:
            rows = [
                row
                for row, problem in enumerate(self.ids)
                if problem in self.donors and self.has(problem, thought)
            ]
            self._donors[key] = rows, {row: number for number, row in enumerate(rows)}
        return self._donors[key]

    @cached_property
    def _donors(self) -> dict[int, tuple[list[int], dict[int, int]]]:
        return {}

    @cached_property
    def _sums(self) -> dict[tuple[Hook, int], Tensor]:
        return {}


@dataclass(frozen=True, eq=False)
class Context:
    """The context of a thought: which thought of which problem, at which hook, in which runs.

    A corruption gets it beside the activation that it replaces, and draws on it.

    Parameters
    ----------
    problem
        The problem's id.
    thought
        The thought's index.
    seed
        The experiment's seed.
    clean
        Clean activations of the problem and of possible donors.
    hook
        Where the activation was taken. A site of several hooks asks a corruption once for each.

    Examples
    --------
    >>> import torch
    >>> from cot_attn.interventions import CleanActivations, Context, Hook, Resample
    >>> thoughts = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    >>> clean = CleanActivations(("a", "b"), {Hook("input"): thoughts}, frozenset({"a", "b"}))
    >>> context = Context("a", thought=1, seed=0, clean=clean)
    >>> context.baseline.tolist(), Resample()(torch.zeros(1), context).tolist()
    ([[1.0], [2.0]], [4.0])
    """

    problem: str
    thought: int
    seed: int
    clean: CleanActivations
    hook: Hook

    @former_arguments(reference="clean")
    def __init__(
        self, problem: str, thought: int, seed: int, clean: CleanActivations, hook: Hook = INPUT
    ) -> None:
        object.__setattr__(self, "problem", problem)
        object.__setattr__(self, "thought", thought)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "clean", clean)
        object.__setattr__(self, "hook", hook)

    @property
    def reference(self) -> CleanActivations:
        """The clean activations, under their former name."""
        warn("Context.reference", "Context.clean")
        return self.clean

    @property
    def row(self) -> int:
        """The problem's row in the clean activations."""
        return self.clean.rows([self.problem])[0]

    @property
    def n_thoughts(self) -> int:
        """How many thoughts the problem's clean run has."""
        counts = self.clean.n_thoughts
        return self.clean[self.hook].shape[1] if counts is None else counts[self.row]

    @property
    def baseline(self) -> Float[Tensor, "n_thoughts *site"]:
        """The problem's own clean activations at the hook."""
        return self.clean[self.hook][self.row, : self.n_thoughts]

    def generator(self, label: str) -> torch.Generator:
        """Return random numbers that seed, problem, thought, hook and corruption decide."""
        return generator(self.seed, self.problem, self.thought, self.hook.name, label)

    def problem_generator(self, label: str) -> torch.Generator:
        """Return random numbers that all thoughts and hooks of the problem share."""
        return generator(self.seed, self.problem, label)

    def choice(self, label: str, count: int) -> int:
        """Return one of `count` numbers, the same at all hooks of a site."""
        return number(self.seed, self.problem, self.thought, label) % count

    def donor_row(self, label: str) -> int:
        """Return the row of another problem in the clean activations, chosen by hash."""
        choice = self.choice(label, self.clean.n_donors(self.problem, self.thought))
        return self.clean.donor(self.problem, choice, self.thought)

    def donor(self, label: str) -> Float[Tensor, "*site"]:
        """Return this thought's activation in another problem, chosen by hash."""
        return self.clean[self.hook][self.donor_row(label), self.thought]

    def mean(self) -> Float[Tensor, "*site"]:
        """Return the mean of this thought's activations over the other problems."""
        return self.clean.means(self.hook, [self.problem], self.thought)[0]
