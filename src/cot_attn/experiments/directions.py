"""Directions in which thoughts are steered, and random ones of the same norm beside them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.data import Problem, check_problems
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.replacements import normal_weights, weighted_deviations
from cot_attn.interventions import Context, Hook, Intervention, Site, Unchanged, collect
from cot_attn.models import ContinuousThoughtModel

Activation = Float[Tensor, "*site"]
Activations = Float[Tensor, "n_problems *site"]


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction for each thought, the same for every problem.

    Parameters
    ----------
    vectors
        For each hook of the site, (n_thoughts, ...): thought i is steered along row i.
    site
        Where it is added.
    made_from
        The ids of the problems that it was made from, which it must not be tried on.
    label
        The name in results.

    See Also
    --------
    difference_of_means : makes one from two groups of problems.
    """

    vectors: Mapping[Hook, Float[Tensor, "n_thoughts *site"]]
    site: Site
    made_from: frozenset[str]
    label: str = "direction"

    @classmethod
    def given(
        cls,
        vector: Float[Tensor, "*site"],
        n_thoughts: int,
        site: Site | str = "input",
        *,
        made_from: Sequence[Problem] = (),
        label: str = "direction",
    ) -> "Direction":
        """Take a vector, a probe's say, as the direction of every thought.

        Parameters
        ----------
        vector
            Of the shape that one thought's activation has at the site, which is a single hook.
        n_thoughts
            How many thoughts the model has.
        made_from
            The problems that it was made from; say so, and it cannot be tried on them.
        """
        where = Intervention(0, Unchanged(), site).site
        if not isinstance(where, Hook):
            raise ValueError(f"A vector is given for one hook; {where.label!r} has several.")
        rows = vector.expand(n_thoughts, *vector.shape)
        return cls({where: rows}, where, frozenset(each.id for each in made_from), label)

    def at(self, contexts: Sequence[Context]) -> Activations:
        """Return the thought's direction, once for each problem."""
        rows = self.vectors[contexts[0].hook]
        vector: Tensor = rows[contexts[0].thought]
        return vector.expand(len(contexts), *vector.shape)


@dataclass(frozen=True)
class TowardsProblem:
    """From each problem's own thought to that of one source: with dose 1 it is an interchange.

    Parameters
    ----------
    source
        The id of the source, which must be among the clean activations.
    site
        Where it is added.
    """

    source: str
    site: Site
    label: str = "towards a problem"
    made_from: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made_from", frozenset([self.source]))

    def at(self, contexts: Sequence[Context]) -> Activations:
        """Return the source's activation less each problem's own."""
        clean, hook, thought = contexts[0].clean, contexts[0].hook, contexts[0].thought
        rows = clean.rows([context.problem for context in contexts])
        (source,) = clean.rows([self.source])
        activations = clean[hook][:, thought]
        difference: Tensor = activations[source] - activations[rows]
        return difference


Steering = Direction | TowardsProblem


def difference_of_means(
    model: ContinuousThoughtModel,
    towards: Sequence[Problem],
    away: Sequence[Problem],
    site: Site | str = "input",
    *,
    label: str = "difference of means",
) -> Direction:
    """Take the mean of some problems' thoughts less that of others' as a direction.

    Parameters
    ----------
    model
        The model.
    towards, away
        The two groups; no problem may be in both.
    site
        Where it is taken, and added later.
    label
        The name in results.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=12)
    >>> direction = difference_of_means(model, problems[:6], problems[6:])
    >>> [tuple(rows.shape) for rows in direction.vectors.values()]
    [(6, 96)]
    """
    require_one_number(model, "difference_of_means")
    everyone = check_problems([*towards, *away])
    if not towards or not away:
        raise ValueError("A difference of means needs problems on both sides.")
    where = Intervention(0, Unchanged(), site).site
    clean = collect(model, everyone, [where])
    groups = [clean.rows([problem.id for problem in group]) for group in (towards, away)]
    vectors = {
        hook: (values[groups[0]].double().mean(0) - values[groups[1]].double().mean(0)).to(values)
        for hook, values in clean.activations.items()
    }
    return Direction(vectors, where, frozenset(each.id for each in everyone), label)


@dataclass(frozen=True)
class Add:
    """Adds a dose of a direction."""

    direction: Steering
    dose: float

    @property
    def label(self) -> str:
        """The name in results."""
        return f"{self.direction.label} x {self.dose:g}"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the steered activations of several problems."""
        return activations + self.dose * self.direction.at(contexts).to(activations)

    def __call__(
        self, activation: Float[Tensor, "*site"], context: Context
    ) -> Float[Tensor, "*site"]:
        """Return the steered activation."""
        return self.many(activation[None], [context])[0]


@dataclass(frozen=True)
class AddRandom:
    """Adds a dose of a random direction, which has the norm of a given one.

    The direction is drawn with the covariance of the same thought over the donors,
    so that it leads where thoughts differ. It depends on seed, number, thought and hook, and is the
    same for every problem.
    """

    like: Steering
    dose: float
    number: int

    @property
    def label(self) -> str:
        """The name in results."""
        return f"random {self.number} x {self.dose:g}"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the steered activations of several problems."""
        first = contexts[0]
        stream = random.Random(f"{first.seed} {self.number} {first.thought} {first.hook.name}")
        generator = torch.Generator().manual_seed(stream.getrandbits(63))
        donors = first.clean.rows(sorted(first.clean.donors))
        others = first.clean[first.hook][donors, first.thought].double()
        weights = normal_weights(len(others), generator).to(others.device)
        mean = others.mean(dim=0, keepdim=True)
        drawn = weighted_deviations(weights[None], others, mean)[0]
        drawn /= drawn.norm().clamp_min(torch.finfo(torch.float64).tiny)
        like = self.like.at(contexts).double()
        norms = like.flatten(start_dim=1).norm(dim=1).view(-1, *[1] * drawn.ndim)
        added: Tensor = (self.dose * norms * drawn).to(activations)
        return activations + added

    def __call__(
        self, activation: Float[Tensor, "*site"], context: Context
    ) -> Float[Tensor, "*site"]:
        """Return the steered activation."""
        return self.many(activation[None], [context])[0]
