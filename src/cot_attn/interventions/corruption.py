"""What replaces an activation: corruptions of one thought of one problem.

A corruption is any callable `(activation, place) -> activation` that keeps the shape; see
`Corruption`. The ones here are small frozen dataclasses whose `label` names them in results. Those
that look at the activation alone say `needs_baseline = False`, which saves a run of the problems.

A corruption may also have `many(activations, places)`, which takes the activations of several
problems at the same thought and hook, stacked: on a GPU one call is quicker than one a problem.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.interventions.context import Place

Activation = Float[Tensor, "*site"]
Activations = Float[Tensor, "n_problems *site"]


@runtime_checkable
class Corruption(Protocol):
    """What replaces a thought's activation.

    `activation` is what the model has there in this very run, of one problem and without a batch
    dimension; `place` says which problem and thought it belongs to, and gives the baseline's
    activations, donors and random numbers. The answer is a tensor of the same shape.
    """

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return what replaces the activation."""
        ...


class _ManyAtOnce(ABC):
    """A corruption that is defined for several problems at once, and so for one."""

    @abstractmethod
    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return what replaces the activations of several problems."""

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return what replaces the activation."""
        return self.many(activation[None], [place])[0]


class _Taken(_ManyAtOnce):
    """Puts an activation of an unchanged run in the thought's place."""

    @abstractmethod
    def source(self, place: Place) -> tuple[int, int]:
        """Return from which row of the reference it comes, and from which thought."""

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return activations of the reference."""
        sources = [self.source(place) for place in places]
        return places[0].reference.taken(places[0].hook, sources).to(activations)


@dataclass(frozen=True)
class Unchanged(_ManyAtOnce):
    """Puts back what was there: whatever moves is noise."""

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="unchanged", init=False)

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return the activations."""
        return activations


@dataclass(frozen=True)
class Zero(_ManyAtOnce):
    """All zeros. This is far from what the model knows; see Mean and Resample."""

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="zero", init=False)

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return zeros."""
        return torch.zeros_like(activations)


@dataclass(frozen=True)
class GaussianNoise(_ManyAtOnce):
    """Adds independent normal noise.

    Parameters
    ----------
    sigma
        Its standard deviation: in the activation's units, or where `relative` is True in units of
        the activation's root mean square.
    relative
        Whether sigma is relative.
    """

    needs_baseline: ClassVar[bool] = False
    sigma: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}; give a number above 0.")

    @property
    def label(self) -> str:
        """The name in results."""
        return f"gaussian(sigma={self.sigma:g}{', relative' if self.relative else ''})"

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Add noise that depends on seed, problem, thought, hook and sigma alone."""
        shape = activations.shape[1:]
        drawn = [torch.randn(shape, generator=place.generator(self.label)) for place in places]
        noise = self.sigma * torch.stack(drawn).to(activations.device)
        if self.relative:
            own = tuple(range(1, activations.ndim))
            noise *= activations.float().square().mean(dim=own, keepdim=True).sqrt()
        return activations + noise.to(activations.dtype)


@dataclass(frozen=True)
class Mean(_ManyAtOnce):
    """The mean of the same thought over the reference problems, without the problem itself."""

    label: str = field(default="mean", init=False)

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return the means."""
        first, problems = places[0], [place.problem for place in places]
        return first.reference.means(first.hook, problems, first.thought).to(activations)


@dataclass(frozen=True)
class Resample(_Taken):
    """The same thought of another problem of the reference set, chosen by hash."""

    label: str = field(default="resample", init=False)

    def source(self, place: Place) -> tuple[int, int]:
        """Return the donor's row, and the same thought."""
        return place.donor_row(self.label), place.thought


@dataclass(frozen=True)
class Shuffle(_Taken):
    """Another thought of the same problem, chosen by hash, in this thought's place."""

    label: str = field(default="shuffle", init=False)

    def source(self, place: Place) -> tuple[int, int]:
        """Return the problem's own row, and another thought."""
        n_thoughts = place.n_thoughts
        if n_thoughts < 2:
            raise ValueError("Shuffle needs a run of at least two thoughts.")
        others = [i for i in range(n_thoughts) if i != place.thought]
        return place.row, others[place.choice(self.label, len(others))]


@dataclass(frozen=True)
class ShuffleAll(_Taken):
    """A permutation of all thoughts of the problem, none in its own place where that is possible.

    It says nothing about one thought: corrupt all thoughts at once with it. The published study
    charged it to single thoughts.
    """

    label: str = field(default="shuffle_all", init=False)

    def source(self, place: Place) -> tuple[int, int]:
        """Return the problem's own row, and the thought that the permutation puts here."""
        n_thoughts = place.n_thoughts
        order = torch.arange(n_thoughts)
        stream = place.problem_generator(self.label)
        while n_thoughts > 1 and (order == torch.arange(n_thoughts)).any():
            order = torch.randperm(n_thoughts, generator=stream)
        return place.row, int(order[place.thought])


@dataclass(frozen=True)
class Swap(_Taken):
    """Thoughts i and j change places; corrupt both of them with it."""

    i: int
    j: int

    @property
    def label(self) -> str:
        """The name in results."""
        return f"swap({self.i}, {self.j})"

    def source(self, place: Place) -> tuple[int, int]:
        """Return the problem's own row, and the other thought."""
        others = {self.i: self.j, self.j: self.i}
        if place.thought not in others:
            raise ValueError(
                f"{self.label} is charged to thought {place.thought}. Give the intervention "
                f"thoughts=({self.i}, {self.j})."
            )
        return place.row, others[place.thought]


@dataclass(frozen=True)
class Scale(_ManyAtOnce):
    """The activation times a factor."""

    needs_baseline: ClassVar[bool] = False
    factor: float

    @property
    def label(self) -> str:
        """The name in results."""
        return f"scale({self.factor:g})"

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return the scaled activations."""
        return activations * self.factor


@dataclass(frozen=True, eq=False)
class Replace(_ManyAtOnce):
    """Given values, the same for every problem.

    Parameters
    ----------
    values
        A tensor of the activation's shape.
    label
        The name in results.
    """

    needs_baseline: ClassVar[bool] = False
    values: Tensor
    label: str = "replace"

    def many(self, activations: Activations, places: Sequence[Place]) -> Activations:
        """Return the values, once for each problem."""
        return self.values.to(activations).expand(len(places), *self.values.shape)


@dataclass(frozen=True)
class KnockOut:
    """No attention: for the site `Attention`, whose scores it masks before the softmax."""

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="knock_out", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the least number in the place of every score."""
        return torch.full_like(activation, torch.finfo(activation.dtype).min)


def needs_baseline(corruption: Callable[..., Tensor]) -> bool:
    """Whether a corruption may ask for activations of unchanged runs."""
    return bool(getattr(corruption, "needs_baseline", True))


def label(corruption: Callable[..., Tensor]) -> str:
    """Return the name of a corruption in results: its `label`, or its `__name__`."""
    name = getattr(corruption, "label", None) or getattr(corruption, "__name__", None)
    return str(name or type(corruption).__name__)


CCTA: Sequence[Corruption] = (
    Zero(),
    GaussianNoise(0.1),
    GaussianNoise(0.5),
    GaussianNoise(1.0),
    GaussianNoise(2.0),
    Resample(),
    Shuffle(),
)
"""The published set of seven. The standard deviations are absolute."""
