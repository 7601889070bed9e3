"""Who attends to which thought, summed over roles, at every layer and head."""

from collections.abc import Sequence
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.layout import Layout
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.recording._recorder import PATTERN
from cot_attn.recording.places import PlaceRecorder
from cot_attn.recording.selection import Indices, selected

DIMS = ("problem", "layer", "head", "query", "key")


class AttentionRecorder(PlaceRecorder):
    """Record attention rows of every run inside a `with` block.

    Each row is a query's attention, summed over the columns of each role, so that a row sums to 1
    and memory does not grow with the length of a question.

    Parameters
    ----------
    model
        The model whose runs are recorded.
    layers, heads
        Which ones; by default all. Negative numbers count from the end.
    queries
        Which rows, out of `bot` (computes thought 0), `thought 0` .. (row i computes thought
        i + 1), `eot` (predicts the first answer token) and `answer_value` (predicts the first
        token of the answer's value); by default all.

    Examples
    --------
    >>> from cot_attn import AttentionRecorder, ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> with AttentionRecorder(model, queries=["eot"]) as recorder:
    ...     run = model.run(load_problems("toy", n=6), max_new_tokens=8)
    >>> dict(recorder.dataset().sizes)
    {'problem': 6, 'layer': 4, 'head': 4, 'query': 1, 'key': 10}
    """

    called = "queries"

    def __init__(
        self,
        model: ContinuousThoughtModel,
        layers: Indices | None = None,
        heads: Indices | None = None,
        queries: Sequence[str] | None = None,
    ) -> None:
        super().__init__(model, PATTERN, layers, queries)
        self.heads = selected("head", heads, model.n_heads)
        self._roles: _Roles | None = None

    def dataset(self) -> xr.Dataset:
        """Return what was recorded.

        Returns
        -------
        xr.Dataset
            `attention` (problem, layer, head, query, key), fractions as float32. Every row that is
            there sums to 1 over `key`; the `answer_value` row is NaN where the answer has no value,
            and with a stop rule queries and keys are NaN that are thoughts the problem does not
            have. Along `problem` there are `difficulty`, `question_length` (tokens), `correct` (1,
            0, or NaN where there is no gold answer) and with a stop rule `n_thoughts`.

        Raises
        ------
        ValueError
            Where no run has finished inside the `with` block.
        """
        return self._joined()

    def queries(self, n_thoughts: int) -> list[str]:
        """Return the names of the recorded rows for a run with that many thoughts."""
        return self.places(n_thoughts)

    def _kept(
        self, activation: Float[Tensor, "batch head query key"], rollout: Rollout
    ) -> Float[Tensor, "batch chosen role"]:
        last = activation[:, :, -1]
        row = last if len(self.heads) == last.shape[1] else last[:, self.heads]
        layout, n_positions = rollout.layout, row.shape[-1]
        if (
            self._roles is None
            or self._roles.layout is not layout
            or len(self._roles) != n_positions
        ):
            self._roles = _Roles(layout, n_positions, row.device)
        return self._roles.summed(row)

    def _take(
        self,
        run: Run,
        table: Float[Tensor, "problem layer head query key"],
        coordinates: dict[str, Any],
    ) -> None:
        keys = [*run.layout.keys(), "answer"]
        labels = {
            "head": self.heads,
            "query": self.queries(run.layout.n_thoughts),
            "key": keys,
        }
        for row, n in enumerate(run.n_thoughts):  # a thought that is not there is no key
            first = keys.index("bot") + 1
            table[row, ..., first + n : first + run.layout.n_thoughts] = torch.nan
        batch = xr.Dataset(
            {"attention": (DIMS, table.cpu().numpy())}, coords={**coordinates, **labels}
        )
        self._batches.append(batch.drop_vars("value_token"))


class _Roles:
    """The roles of the columns in one forward pass, which all layers have in common.

    Parameters
    ----------
    layout
        Where everything stands.
    n_positions
        How many columns there are by now.
    device
        Where attention is.
    """

    def __init__(self, layout: Layout, n_positions: int, device: torch.device) -> None:
        keys = list(layout.keys().values())
        self.layout, self._n_roles = layout, len(keys) + 1
        self._columns = torch.full((n_positions,), len(keys), device=device)
        for index, columns in enumerate(keys):
            self._columns[columns.start : columns.stop] = index

    def __len__(self) -> int:
        return len(self._columns)

    def summed(self, row: Float[Tensor, "batch head position"]) -> Float[Tensor, "batch head key"]:
        """Sum a row over the columns of each role; padding has no attention to add."""
        sums = row.new_zeros((*row.shape[:2], self._n_roles), dtype=torch.float32)
        return sums.index_add_(-1, self._columns, row.float())
