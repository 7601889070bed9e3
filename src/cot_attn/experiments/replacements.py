"""What experiments put in the place of thoughts, beside the corruptions of `interventions`.

All keep what one thought has in common with the others of its kind, and take away, or exchange,
what it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.interventions import Context, Corruption

Activation = Float[Tensor, "*site"]
Activations = Float[Tensor, "n_problems *site"]


@dataclass(frozen=True)
class Transplant:
    """The same thought of a chosen other problem.

    Parameters
    ----------
    sources
        For the id of each problem, the id of the one that its activations are taken from. Both
        must be among the problems that are run or their donors.
    label
        The name in results.
    """

    sources: Mapping[str, str]
    label: str = "transplant"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the activations of the sources' unchanged runs."""
        clean, hook, thought = contexts[0].clean, contexts[0].hook, contexts[0].thought
        rows = clean.rows([self.sources[context.problem] for context in contexts])
        return clean[hook][rows, thought].to(activations)

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return the activation of the source's unchanged run."""
        return self.many(activation[None], [context])[0]


@dataclass(frozen=True)
class MeanOfAll:
    """The mean of all thoughts of all donors: one vector, whichever thought is replaced.

    Parameters
    ----------
    label
        The name in results.
    """

    label: str = "mean of all thoughts"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return the mean, once for each problem."""
        clean, hook = contexts[0].clean, contexts[0].hook
        sample = clean[hook][clean.rows(sorted(clean.donors))]
        mean: Tensor = sample.mean(dim=(0, 1), dtype=torch.float64).to(activations)
        return mean.expand_as(activations)

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return the mean."""
        return self.many(activation[None], [context])[0]


@dataclass(frozen=True)
class FirstRepeated:
    """The problem's first thought, whichever thought is replaced."""

    label: str = field(default="first thought repeated", init=False)

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return thought 0 of the unchanged run."""
        return context.baseline[0].to(activation)


@dataclass(frozen=True)
class MatchedNoise:
    """A draw from a normal distribution with the thoughts' own covariance, at a thought's own norm.

    Mean and covariance are those of the same thought over the donors, the problem itself left out.
    The draw is scaled to the norm of the activation that it is compared with: noise with one mean
    and one standard deviation for all entries is unlike any thought, and says little.

    Parameters
    ----------
    sources
        For the id of each problem, the id of the one whose norm the draw has; without them it is
        the activation's own.
    label
        The name in results.
    """

    sources: Mapping[str, str] | None = None
    label: str = "noise"

    def many(self, activations: Activations, contexts: Sequence[Context]) -> Activations:
        """Return draws that seed, problem, thought and hook decide."""
        clean, hook, thought = contexts[0].clean, contexts[0].hook, contexts[0].thought
        problems, donors = [context.problem for context in contexts], sorted(clean.donors)
        sample = clean[hook][clean.rows(donors), thought].double()
        like = activations
        if self.sources is not None:
            like = clean[hook][clean.rows([self.sources[each] for each in problems]), thought]
        weights = torch.zeros(len(contexts), len(donors), dtype=torch.float64)
        for row, context in zip(weights, contexts, strict=True):
            others = torch.tensor([donor != context.problem for donor in donors])
            if others.sum() < 2:
                raise ValueError(
                    f"{self.label!r} has {int(others.sum())} other problems to take a covariance "
                    "from. Give at least three problems, or donors."
                )
            row[others] = normal_weights(int(others.sum()), context.generator(self.label))
        means = clean.means(hook, problems, thought)
        noise = means + weighted_deviations(weights.to(sample.device), sample, means)
        lengths = [each.flatten(start_dim=1).norm(dim=1) for each in (like.double(), noise)]
        scale = lengths[0] / lengths[1].clamp_min(torch.finfo(torch.float64).tiny)
        scaled: Tensor = (scale.view(-1, *[1] * (noise.ndim - 1)) * noise).to(activations)
        return scaled

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return a draw that seed, problem, thought and hook decide."""
        return self.many(activation[None], [context])[0]


@dataclass(frozen=True)
class ByThought:
    """Another corruption for each thought: "corrupt thought 5 and boost thought 2".

    Parameters
    ----------
    corruptions
        A corruption for each thought that the intervention names.
    """

    needs_baseline: ClassVar[bool] = True
    corruptions: Mapping[int, Corruption]

    @property
    def label(self) -> str:
        """The name in results."""
        names = (
            f"{getattr(each, 'label', type(each).__name__)} of {thought}"
            for thought, each in sorted(self.corruptions.items())
        )
        return " and ".join(names)

    def __call__(self, activation: Activation, context: Context) -> Activation:
        """Return what the thought's own corruption makes of the activation."""
        return self.corruptions[context.thought](activation, context)


def normal_weights(n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Draw weights with which the deviations of a sample of n sum to noise of its covariance."""
    drawn: Tensor = torch.randn(n, generator=generator, dtype=torch.float64) / max(n - 1, 1) ** 0.5
    return drawn


def weighted_deviations(
    weights: Float[Tensor, "draw sample"],
    sample: Float[Tensor, "sample *site"],
    means: Float[Tensor, "draw *site"],
) -> Float[Tensor, "draw *site"]:
    """Return, for each draw, the weighted sum of a sample's deviations from a mean.

    With independent normal weights it has exactly the covariance of the sample.
    """
    totals = weights.sum(dim=1).view(-1, *[1] * (means.ndim - 1))
    summed: Tensor = torch.tensordot(weights, sample, dims=1) - totals * means
    return summed
