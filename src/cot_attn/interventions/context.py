"""Where a corruption acts, and what it may draw on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions._seeds import generator, number
from cot_attn.interventions.sites import INPUT, Attention, Hook, KeysValues, Site, as_site
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account
from cot_attn.models.stages import Thought

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

    def at(self, hook: Hook | str) -> Activations:
        """Return the activations at a hook; raise where they were not collected."""
        hook = Hook(hook) if isinstance(hook, str) else hook
        if hook not in self.activations:
            raise ValueError(
                f"The baselines at {hook.label!r} were not collected. A corruption that says "
                "needs_baseline = False must not ask for them."
            )
        return self.activations[hook]

    def donor(self, problem: str, choice: int) -> int:
        """Return the row of donor number `choice`, the problem itself not counted."""
        own = self._donor_places.get(self._index[problem], len(self._donor_rows))
        return self._donor_rows[choice + (choice >= own)]

    def taken(
        self, hook: Hook, sources: Sequence[tuple[int, int]]
    ) -> Float[Tensor, "n_sources *site"]:
        """Return the activations of chosen rows and thoughts."""
        rows, thoughts = zip(*sources, strict=True)
        return self.at(hook)[list(rows), list(thoughts)]

    def means(
        self, hook: Hook, problems: Sequence[str], thought: int
    ) -> Float[Tensor, "n_problems *site"]:
        """Return, as float64, the mean activation of a thought over all donors but each problem."""
        counts = [self.others(problem) for problem in problems]
        activations = self.at(hook)
        if hook not in self._totals:
            self._totals[hook] = activations[self._donor_rows].double().sum(dim=0)
        own = activations[self.rows(problems), thought].double()
        numbers = own.new_tensor([counts, [problem in self.donors for problem in problems]])
        count, among = (each.view(-1, *[1] * (own.ndim - 1)) for each in numbers)
        means: Tensor = (self._totals[hook][thought] - among * own) / count
        return means

    @cached_property
    def _index(self) -> dict[str, int]:
        return {problem: row for row, problem in enumerate(self.ids)}

    @cached_property
    def _donor_rows(self) -> list[int]:
        return [row for row, problem in enumerate(self.ids) if problem in self.donors]

    @cached_property
    def _donor_places(self) -> dict[int, int]:
        return {row: place for place, row in enumerate(self._donor_rows)}

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
    def row(self) -> int:
        """The problem's row in the reference."""
        return self.reference.rows([self.problem])[0]

    @property
    def n_thoughts(self) -> int:
        """How many thoughts the problem's unchanged run has."""
        return self.reference.at(self.hook).shape[1]

    @property
    def baseline(self) -> Float[Tensor, "n_thoughts *site"]:
        """The problem's own activations at the hook in its unchanged run."""
        return self.reference.at(self.hook)[self.row]

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
        """Return the row of another problem in the reference, chosen by hash."""
        choice = self.choice(label, self.reference.others(self.problem))
        return self.reference.donor(self.problem, choice)

    def donor(self, label: str) -> Float[Tensor, "*site"]:
        """Return this thought's activation in another problem, chosen by hash."""
        return self.reference.at(self.hook)[self.donor_row(label), self.thought]

    def mean(self) -> Float[Tensor, "*site"]:
        """Return the mean of this thought's activations over the other problems."""
        return self.reference.means(self.hook, [self.problem], self.thought)[0]


@on_its_own_account
def collect(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    hooks: Iterable[Site | str] = (INPUT,),
    *,
    donors: Sequence[Problem] | None = None,
    batch_size: int = 64,
) -> Reference:
    """Run problems unchanged and keep the activations at some hooks while they think.

    Parameters
    ----------
    model
        The model.
    problems
        The problems whose baselines are needed.
    hooks
        Where: `"input"`, `"hidden"`, a hook name, `"kv"`, or a site object; without any, nothing
        is run.
    donors
        The problems that may donate; by default the same ones.
    batch_size
        How many problems think at once.

    Raises
    ------
    ValueError
        Where a hook does not see one thought of each problem.
    KeyError
        Where there is no such hook; near names are suggested.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> from cot_attn.interventions import collect
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> known = collect(model, load_problems("toy", n=6), ["input", "blocks.1.hook_out"])
    >>> tuple(known.at("input").shape)
    (6, 6, 96)
    """
    donors = problems if donors is None else donors
    everything = {problem.id: problem for problem in [*donors, *problems]}
    ids = tuple(sorted(everything))
    kept: dict[Hook, list[Tensor]] = {hook: [] for hook in _hooks(model, hooks)}

    def keep(place: Hook, activation: Tensor, hook: object) -> None:
        assert model.running is not None
        shape, n_rows = tuple(activation.shape), len(model.running.problems)
        if shape[0] != n_rows or not (len(shape) == 2 or shape[1] == 1):
            raise ValueError(
                f"{place.name!r} has the shape {shape} for {n_rows} problems and one thought. "
                "Accepted are hooks of shape (batch, 1, ...), such as 'blocks.0.hook_out'."
            )
        own = activation if activation.ndim == 2 else activation[:, 0]
        own = own if place.heads is None else own[:, list(place.heads)]
        kept[place].append(own.clone())

    n = model.n_thoughts
    if kept:
        if not n:
            raise ValueError(f"{model.name} thinks 0 thoughts, so there is nothing to collect.")
        watching = [(place.name, partial(keep, place)) for place in kept]
        with model.hooks(watching, stages=[Thought(index) for index in range(n)]):
            model.think([everything[problem] for problem in ids], batch_size=batch_size)
    activations = {}
    for place, steps in kept.items():
        if not steps:
            raise ValueError(
                f"{place.name!r} never fires on a thought. Use 'input', 'hidden', 'kv' or a hook "
                "such as 'blocks.0.hook_out'."
            )
        # Thought by thought of one batch, then of the next.
        batches = [torch.stack(steps[i : i + n], dim=1) for i in range(0, len(steps), n)]
        activations[place] = torch.cat(batches)
    return Reference(ids, activations, frozenset(problem.id for problem in donors))


def _hooks(model: ContinuousThoughtModel, sites: Iterable[Site | str]) -> list[Hook]:
    """Return the hooks that sites consist of; raise where one has no activations to keep."""
    given: object = sites
    if isinstance(given, str | Hook | KeysValues | Attention):
        raise TypeError(f"hooks is {given!r}; give a list, as in [{given!r}].")
    found: dict[Hook, None] = {}
    for site in map(as_site, sites):
        if not site.hooks(model):
            raise ValueError(
                f"There are no activations of the site {site.label!r} to collect. Give 'input', "
                "'hidden', 'kv' or a hook name."
            )
        found.update(dict.fromkeys(site.hooks(model)))
    return list(found)
