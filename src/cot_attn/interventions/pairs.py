"""Pairs of a problem and an intervention, which run as the rows of one batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from jaxtyping import Int
from torch import Tensor

from cot_attn.interventions.intervention import Intervention


@dataclass(frozen=True, eq=False)
class Pairs:
    """Variants of problems, those first that change the earliest thoughts.

    Attributes
    ----------
    at
        Which row of the baseline each belongs to.
    places
        Where the results of each go: numbers of the problems and of the interventions.
    changes
        What is done to each.
    """

    at: Int[Tensor, " rows"]
    places: tuple[list[int], list[int]]
    changes: list[Intervention]

    @classmethod
    def of(
        cls,
        pairs: Sequence[tuple[int, int]],
        interventions: Sequence[Intervention],
        problems: Sequence[int],
        device: torch.device,
    ) -> "Pairs":
        """Return pairs of a baseline's row and an intervention's number.

        Parameters
        ----------
        pairs
            Rows and numbers.
        interventions
            All interventions.
        problems
            The number of the problem in each row of the baseline.
        device
            Where the rows are looked up.
        """
        ordered = sorted(pairs, key=lambda pair: interventions[pair[1]].thoughts[0])
        rows, variants = [row for row, _ in ordered], [variant for _, variant in ordered]
        return cls(
            at=torch.tensor(rows, device=device),
            places=([problems[row] for row in rows], variants),
            changes=[interventions[variant] for variant in variants],
        )

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def first(self) -> int:
        """The earliest thought that one of them changes."""
        return self.changes[0].thoughts[0]

    def begun(self, thought: int) -> int:
        """Return how many change this thought or an earlier one."""
        return sum(1 for _ in takewhile(lambda c: c.thoughts[0] <= thought, self.changes))

    def rows(self, rows: slice) -> "Pairs":
        """Return some of them."""
        problems, variants = self.places
        return Pairs(self.at[rows], (problems[rows], variants[rows]), self.changes[rows])
