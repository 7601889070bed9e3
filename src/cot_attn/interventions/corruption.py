"""What replaces an activation: corruptions of one thought of one problem.

A corruption is any callable `(activation, place) -> activation` that keeps the shape; see
`Corruption`. The ones here are small frozen dataclasses whose `label` names them in results. Those
that look at the activation alone say `needs_baseline = False`, which saves a run of the problems.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.interventions.place import Place

Activation = Float[Tensor, "*site"]


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


@dataclass(frozen=True)
class Unchanged:
    """Puts back what was there: whatever moves is noise."""

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="unchanged", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the activation."""
        return activation


@dataclass(frozen=True)
class Zero:
    """All zeros. This is far from what the model knows; see Mean and Resample."""

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="zero", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return zeros."""
        return torch.zeros_like(activation)


@dataclass(frozen=True)
class GaussianNoise:
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

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Add noise that depends on seed, problem, thought, hook and sigma alone."""
        noise = torch.randn(activation.shape, generator=place.generator(self.label))
        scale = activation.float().square().mean().sqrt().cpu() if self.relative else 1.0
        return activation + (noise * self.sigma * scale).to(activation)


@dataclass(frozen=True)
class Mean:
    """The mean of the same thought over the reference problems, without the problem itself."""

    label: str = field(default="mean", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the mean."""
        return place.mean().to(activation)


@dataclass(frozen=True)
class Resample:
    """The same thought of another problem of the reference set, chosen by hash."""

    label: str = field(default="resample", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the donor's activation."""
        return place.donor(self.label).to(activation)


@dataclass(frozen=True)
class Shuffle:
    """Another thought of the same problem, chosen by hash, in this thought's place."""

    label: str = field(default="shuffle", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the other thought's activation in the baseline."""
        n_thoughts = len(place.baseline)
        if n_thoughts < 2:
            raise ValueError("Shuffle needs a run of at least two thoughts.")
        others = [i for i in range(n_thoughts) if i != place.thought]
        return place.baseline[others[place.choice(self.label, len(others))]].to(activation)


@dataclass(frozen=True)
class ShuffleAll:
    """A permutation of all thoughts of the problem, none in its own place where that is possible.

    It says nothing about one thought: corrupt all thoughts at once with it. The published study
    charged it to single thoughts.
    """

    label: str = field(default="shuffle_all", init=False)

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the activation that the permutation puts here."""
        n_thoughts = len(place.baseline)
        order = torch.arange(n_thoughts)
        stream = place.problem_generator(self.label)
        while n_thoughts > 1 and (order == torch.arange(n_thoughts)).any():
            order = torch.randperm(n_thoughts, generator=stream)
        return place.baseline[int(order[place.thought])].to(activation)


@dataclass(frozen=True)
class Swap:
    """Thoughts i and j change places; corrupt both of them with it."""

    i: int
    j: int

    @property
    def label(self) -> str:
        """The name in results."""
        return f"swap({self.i}, {self.j})"

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the other thought's activation in the baseline."""
        others = {self.i: self.j, self.j: self.i}
        if place.thought not in others:
            raise ValueError(
                f"{self.label} is charged to thought {place.thought}. Give the intervention "
                f"thoughts=({self.i}, {self.j})."
            )
        return place.baseline[others[place.thought]].to(activation)


@dataclass(frozen=True)
class Scale:
    """The activation times a factor."""

    needs_baseline: ClassVar[bool] = False
    factor: float

    @property
    def label(self) -> str:
        """The name in results."""
        return f"scale({self.factor:g})"

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the scaled activation."""
        return activation * self.factor


@dataclass(frozen=True, eq=False)
class Replace:
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

    def __call__(self, activation: Activation, place: Place) -> Activation:
        """Return the values."""
        return self.values.to(activation)


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
