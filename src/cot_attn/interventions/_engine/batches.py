"""Which rows run at once: as many as fit into memory, and what each of them is."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import ceil

import torch
from jaxtyping import Int
from torch import Tensor

from cot_attn.interventions.intervention import Intervention
from cot_attn.models.continuous import ContinuousThoughtModel

MOST_ROWS = {"cpu": 512, "cuda": 1024}
"""Beyond these a larger batch was not faster."""
TOKENS_AT_ONCE = {"cpu": 512, "cuda": 2**15}
"""How many tokens are fed in one pass: activations that stay near the processor are quicker."""
ROWS_OF_A_PROBLEM = 8
"""One problem is read for so many rows; its own keys and values are a small part of theirs."""
LARGEST_KEPT = 31 * 2**20
"""Bytes, just below the largest piece that glibc ever takes from memory that it keeps."""
SHARE = 0.25
"""How much of the free memory a batch may take; the rest is for what comes and goes in a step."""


def passes(n_rows: int, n_tokens: int, device: torch.device) -> Iterator[slice]:
    """Yield the rows of each pass, where every row is fed that many tokens."""
    most = TOKENS_AT_ONCE.get(device.type, TOKENS_AT_ONCE["cpu"])
    size = max(1, most // n_tokens)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def keep_freed_memory() -> None:
    """Let freed memory be used again, instead of going back to the system at every step.

    glibc keeps pieces as large as the largest that has come back to it (mallopt(3), on
    M_MMAP_THRESHOLD), and activations are larger than what it keeps at first: getting them anew
    from the system took a tenth of the time. Other allocators are not affected.
    """
    torch.empty(LARGEST_KEPT, dtype=torch.uint8)


def fitting(model: ContinuousThoughtModel, n_positions: int) -> int:
    """Return how many rows of that many positions fit into the memory that is free.

    A row is counted with its keys and values twice: its own, and those that it decodes with.
    """
    numbers = 2 * 2 * model.n_layers * model.d_kv * n_positions
    row = numbers * torch.finfo(model.dtype).bits // 8
    most = MOST_ROWS.get(model.device.type, MOST_ROWS["cpu"])
    return max(1, min(most, int(SHARE * _free_bytes(model.device) / row)))


def rows_of_problem(n_interventions: int) -> int:
    """Return how many rows a problem is read for at least."""
    return min(ROWS_OF_A_PROBLEM, n_interventions)


def most_rows(
    model: ContinuousThoughtModel,
    questions: Sequence[Sequence[int]],
    max_new_tokens: int,
    n_interventions: int,
) -> int:
    """Return how many rows fit into free memory, each as long as the longest will be.

    The rows of a problem have its prompt in common.
    """
    prompt = ceil(max(map(len, questions)) / rows_of_problem(n_interventions))
    return fitting(model, prompt + model.n_thoughts + max_new_tokens)


def _free_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):  # not every system tells
        return float("inf")


@dataclass(frozen=True, eq=False)
class VariantRows:
    """Variants of problems as the rows of one batch, those first that change the earliest thoughts.

    Attributes
    ----------
    baseline_rows
        Which row of the baseline each branches off.
    cells
        Where the results of each go: numbers of the problems and of the interventions.
    interventions
        What is applied to each.
    """

    baseline_rows: Int[Tensor, " rows"]
    cells: tuple[list[int], list[int]]
    interventions: list[Intervention]

    @classmethod
    def of(
        cls,
        pairs: Sequence[tuple[int, int]],
        interventions: Sequence[Intervention],
        problems: Sequence[int],
        device: torch.device,
    ) -> "VariantRows":
        """Return the rows of pairs of a baseline's row and an intervention's number.

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
            baseline_rows=torch.tensor(rows, device=device),
            cells=([problems[row] for row in rows], variants),
            interventions=[interventions[variant] for variant in variants],
        )

    def __len__(self) -> int:
        return len(self.interventions)

    @property
    def first_thought(self) -> int:
        """The earliest thought that one of them changes."""
        return self.interventions[0].thoughts[0]

    def n_begun(self, thought: int) -> int:
        """Return how many change this thought or an earlier one."""
        return sum(1 for _ in takewhile(lambda c: c.thoughts[0] <= thought, self.interventions))

    def rows(self, rows: slice) -> "VariantRows":
        """Return some of them."""
        problems, variants = self.cells
        cells = (problems[rows], variants[rows])
        return VariantRows(self.baseline_rows[rows], cells, self.interventions[rows])
