"""Corruptions of which a known part changes the answer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.models import N_THOUGHTS
from cot_attn.interventions import Context, Intervention

N_CORRUPTIONS = 7


@dataclass(frozen=True)
class Planted:
    """Noise that drowns a chosen part of the thoughts, and is next to none in the others.

    Parameters
    ----------
    number
        Which of the corruptions it is.
    part
        Which part of the thoughts is drowned.
    needs_baseline
        Whether unchanged runs are collected for it, as Resample and Shuffle need them.
    """

    number: int
    part: float
    needs_baseline: bool

    @property
    def label(self) -> str:
        return f"planted {self.number}"

    def __call__(self, activation: Tensor, context: Context) -> Tensor:
        drowned = context.choice(self.label, 1000) < 1000 * self.part
        noise = torch.randn(activation.shape, generator=context.generator(self.label))
        return activation + (5.0 if drowned else 1e-6) * noise.to(activation)


def changes(part: float) -> list[Intervention]:
    """Return six thoughts times seven corruptions, two of which need unchanged runs."""
    corruptions = [Planted(i, part, i >= N_CORRUPTIONS - 2) for i in range(N_CORRUPTIONS)]
    return [Intervention(i, each) for i in range(N_THOUGHTS) for each in corruptions]
