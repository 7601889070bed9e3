"""What replaces an activation: corruptions of one thought of one problem.

A corruption is any callable `(activation, context) -> activation` that keeps the shape; see
`Corruption`. The ones here are small frozen dataclasses whose `label` names them in results. Those
that look at the activation alone say `needs_baseline = False`, which saves a run of the problems.

A corruption may also have `many(activations, contexts)`, which takes the activations of several
problems at the same thought and hook, stacked: on a GPU one call is quicker than one a problem; and
`possible(context)`, which says of problems with different numbers of thoughts whether there is what
it draws on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.interventions.context import Context

Activation = Float[Tensor, "*site"]
Activations = Float[Tensor, "n_problems *site"]


@runtime_checkable
class Corruption(Protocol):
    """What replaces a thought's activation.

    `activation` is what the model has there in this very run, of one problem and without a batch
    dimension; `context` says which problem and thought it belongs to, and gives clean activations,
    donors and random numbers. The answer is a tensor of the same shape.

    Examples
    --------
    >>> def flipped(activation, context):
    ...     return -activation
    >>> isinstance(flipped, Corruption)
    True
    """

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return what replaces the activation."""
        ...


class _ManyAtOnce(ABC):
    """A corruption that is defined for several problems at once, and so for one."""

    @abstractmethod
    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return what replaces the activations of several problems."""

    def possible(self, context: Context) -> bool:
        """Whether there is what it draws on, where problems have different numbers of thoughts."""
        return True

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return what replaces the activation."""
        return self.many(activation[None], [context])[0]


class _Selected(_ManyAtOnce):
    """A clean activation."""

    @abstractmethod
    def source(self, context: Context) -> tuple[int, int]:
        """Return from which row of the clean activations it comes, and from which thought."""

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the clean activations that were chosen."""
        sources = [self.source(context) for context in contexts]
        return contexts[0].clean.select(contexts[0].hook, sources).to(activations)


@dataclass(frozen=True)
class Unchanged(_ManyAtOnce):
    """What was there already: whatever moves is noise.

    Examples
    --------
    >>> Unchanged().many(torch.ones(1, 2), []).tolist()
    [[1.0, 1.0]]
    """

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="unchanged", init=False)

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the activations."""
        return activations


@dataclass(frozen=True)
class Zero(_ManyAtOnce):
    """All zeros. This is far from what the model knows; see `Mean` and `Resample`.

    Examples
    --------
    >>> Zero().many(torch.ones(1, 2), []).tolist()
    [[0.0, 0.0]]
    """

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="zero", init=False)

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return zeros."""
        return torch.zeros_like(activations)


@dataclass(frozen=True)
class GaussianNoise(_ManyAtOnce):
    """The activation and independent normal noise.

    Parameters
    ----------
    sigma
        Its standard deviation: in the activation's units, or where `relative` is True in units of
        the activation's root mean square.
    relative
        Whether sigma is relative.

    Examples
    --------
    >>> from cot_attn.interventions import CleanActivations, Context
    >>> context = Context("a", thought=2, seed=0, clean=CleanActivations(("a",), {}, frozenset()))
    >>> round(float(GaussianNoise(0.5)(torch.zeros(10_000), context).std()), 2)
    0.5
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

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Add noise that depends on seed, problem, thought, hook and sigma alone."""
        shape = activations.shape[1:]
        drawn = [
            torch.randn(shape, generator=context.generator(self.label)) for context in contexts
        ]
        noise = self.sigma * torch.stack(drawn).to(activations.device)
        if self.relative:
            site = tuple(range(1, activations.ndim))
            noise *= activations.float().square().mean(dim=site, keepdim=True).sqrt()
        return activations + noise.to(activations.dtype)


@dataclass(frozen=True)
class Mean(_ManyAtOnce):
    """The mean of the same thought over the donors, without the problem itself.

    Examples
    --------
    >>> from cot_attn.interventions import CleanActivations, Context, Hook
    >>> thoughts = {Hook("input"): torch.tensor([[[1.0]], [[2.0]], [[4.0]]])}
    >>> clean = CleanActivations(("a", "b", "c"), thoughts, frozenset({"a", "b", "c"}))
    >>> Mean()(torch.zeros(1), Context("a", thought=0, seed=0, clean=clean)).tolist()
    [3.0]
    """

    label: str = field(default="mean", init=False)

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the means."""
        first, problems = contexts[0], [context.problem for context in contexts]
        return first.clean.means(first.hook, problems, first.thought).to(activations)

    def possible(self, context: Context) -> bool:
        """Whether another problem has the thought."""
        return context.clean.n_others(context.problem, context.thought) > 0


@dataclass(frozen=True)
class Resample(_Selected):
    """The same thought of another problem among the donors, chosen by hash.

    Examples
    --------
    >>> from cot_attn.interventions import CleanActivations, Context, Hook
    >>> thoughts = {Hook("input"): torch.tensor([[[1.0]], [[2.0]]])}
    >>> clean = CleanActivations(("a", "b"), thoughts, frozenset({"a", "b"}))
    >>> Resample()(torch.zeros(1), Context("a", thought=0, seed=0, clean=clean)).tolist()
    [2.0]
    """

    label: str = field(default="resample", init=False)

    def source(self, context: Context) -> tuple[int, int]:
        """Return the donor's row, and the same thought."""
        return context.donor_row(self.label), context.thought

    def possible(self, context: Context) -> bool:
        """Whether another problem has the thought."""
        return context.clean.n_others(context.problem, context.thought) > 0


@dataclass(frozen=True)
class Shuffle(_Selected):
    """Another thought of the same problem, chosen by hash.

    Examples
    --------
    >>> from cot_attn.interventions import CleanActivations, Context, Hook
    >>> thoughts = {Hook("input"): torch.tensor([[[1.0], [2.0]]])}
    >>> clean = CleanActivations(("a",), thoughts, frozenset({"a"}))
    >>> Shuffle()(torch.zeros(1), Context("a", thought=0, seed=0, clean=clean)).tolist()
    [2.0]
    """

    label: str = field(default="shuffle", init=False)

    def source(self, context: Context) -> tuple[int, int]:
        """Return the problem's own row, and another thought."""
        n_thoughts = context.n_thoughts
        if n_thoughts < 2:
            raise ValueError(
                f"Shuffle needs a run of at least two thoughts; that of problem "
                f"{context.problem!r} has {n_thoughts}."
            )
        others = [i for i in range(n_thoughts) if i != context.thought]
        return context.row, others[context.choice(self.label, len(others))]

    def possible(self, context: Context) -> bool:
        """Whether the problem has another thought."""
        return context.n_thoughts > 1


@dataclass(frozen=True)
class ShuffleAll(_Selected):
    """The thoughts of the problem in another order, none where it was if that is possible.

    It says nothing about one thought: corrupt all thoughts at once with it. The published study
    charged it to single thoughts.

    Examples
    --------
    >>> from cot_attn.interventions import Intervention
    >>> Intervention(range(6), ShuffleAll()).label
    'shuffle_all @ input of thoughts 0, 1, 2, 3, 4, 5'
    """

    label: str = field(default="shuffle_all", init=False)

    def source(self, context: Context) -> tuple[int, int]:
        """Return the problem's own row, and the thought that the permutation puts here."""
        n_thoughts = context.n_thoughts
        order = torch.arange(n_thoughts)
        stream = context.problem_generator(self.label)
        while n_thoughts > 1 and (order == torch.arange(n_thoughts)).any():
            order = torch.randperm(n_thoughts, generator=stream)
        return context.row, int(order[context.thought])


@dataclass(frozen=True)
class Swap(_Selected):
    """Thought j where thought i was, and i where j was; corrupt both of them with it.

    Examples
    --------
    >>> from cot_attn.interventions import Intervention
    >>> Intervention((1, 4), Swap(1, 4)).label
    'swap(1, 4) @ input of thoughts 1, 4'
    """

    i: int
    j: int

    @property
    def label(self) -> str:
        """The name in results."""
        return f"swap({self.i}, {self.j})"

    def source(self, context: Context) -> tuple[int, int]:
        """Return the problem's own row, and the other thought."""
        others = {self.i: self.j, self.j: self.i}
        if context.thought not in others:
            raise ValueError(
                f"{self.label} is charged to thought {context.thought}. Give the intervention "
                f"thoughts=({self.i}, {self.j})."
            )
        return context.row, others[context.thought]


@dataclass(frozen=True)
class Scale(_ManyAtOnce):
    """The activation times a factor.

    Examples
    --------
    >>> Scale(-2.0).many(torch.ones(1, 2), []).tolist()
    [[-2.0, -2.0]]
    """

    needs_baseline: ClassVar[bool] = False
    factor: float

    @property
    def label(self) -> str:
        """The name in results."""
        return f"scale({self.factor:g})"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the scaled activations."""
        return activations * self.factor


@dataclass(frozen=True, eq=False)
class Replace(_ManyAtOnce):
    """Values of your own, the same for every problem.

    Parameters
    ----------
    values
        A tensor of the activation's shape.
    label
        The name in results.

    Examples
    --------
    >>> from cot_attn.interventions import Intervention
    >>> Intervention(2, Replace(torch.ones(96), label="ones")).label
    'ones @ input of thought 2'
    """

    needs_baseline: ClassVar[bool] = False
    values: Tensor
    label: str = "replace"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the values, once for each problem."""
        return self.values.to(activations).expand(len(contexts), *self.values.shape)


@dataclass(frozen=True)
class KnockOut:
    """No attention: for the site `Attention`, whose scores it masks before the softmax.

    Examples
    --------
    >>> from cot_attn.interventions import Attention, Intervention
    >>> Intervention(2, KnockOut(), Attention(layers=[1])).label
    'knock_out @ attention (layers 1) of thought 2'
    """

    needs_baseline: ClassVar[bool] = False
    label: str = field(default="knock_out", init=False)

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return the least number for every score."""
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
"""CCTA, continuous chain-of-thought ablation: the published set of seven corruptions.

The standard deviations are absolute.
"""
