"""Whole attention rows over positions, for looking at single problems."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.layout import Role
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.recording._recorder import PATTERN, Recorder
from cot_attn.recording.selection import Indices, selected


class PositionRecorder(Recorder):
    """Record whole attention rows, position by position, of chosen problems.

    This takes memory that grows with the square of a problem's length: choose few problems. For
    statistics over many, `AttentionRecorder` sums over roles.

    Parameters
    ----------
    model
        The model whose runs are recorded.
    problems
        Ids of the problems to record; by default every problem that is run.
    layers, heads
        Which ones; by default all. Negative numbers count from the end.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> with PositionRecorder(model, layers=[-1]) as recorder:
    ...     run = model.run(load_problems("toy", n=2), max_new_tokens=8)
    >>> attention = recorder.dataset(recorder.problems[0])
    >>> attention["key_text"].values[attention["key_role"] == "thought"].tolist()[:2]
    ['thought 0', 'thought 1']
    """

    def __init__(
        self,
        model: ContinuousThoughtModel,
        problems: Iterable[str] | None = None,
        layers: Indices | None = None,
        heads: Indices | None = None,
    ) -> None:
        super().__init__(model, PATTERN, layers)
        self.heads = selected("head", heads, model.n_heads)
        self._chosen = None if problems is None else set(problems)
        self._passes: dict[int, list[Tensor]] = {}
        self._datasets: dict[str, xr.Dataset] = {}

    @property
    def problems(self) -> list[str]:
        """Ids of the problems that were recorded, in order."""
        return list(self._datasets)

    def dataset(self, problem: str) -> xr.Dataset:
        """Return one problem's attention over its positions.

        Returns
        -------
        xr.Dataset
            `attention` (layer, head, query, key), where queries and keys are positions from 0
            without padding. `query_role`, `key_role` and `query_text`, `key_text` say what stands
            at a position; a position after the one that was fed last is not part of it.

        Raises
        ------
        KeyError
            Where the problem was not recorded.
        """
        if problem not in self._datasets:
            raise KeyError(
                f"Problem {problem!r} was not recorded. Recorded are {self.problems[:10]}; run the "
                "problem inside `with PositionRecorder(model) as recorder:`."
            )
        return self._datasets[problem]

    def _record(self, activation: Float[Tensor, "batch head query key"], rollout: Rollout) -> None:
        first_column = activation.shape[3] - activation.shape[2]
        self._passes.setdefault(first_column, []).append(activation[:, self.heads].float())

    def _finish(self, run: Run) -> None:
        for row, problem in enumerate(run.problems):
            if self._chosen is None or problem.id in self._chosen:
                self._datasets[problem.id] = self._one(run, row)

    def _forget(self) -> None:
        self._passes = {}

    def _one(self, run: Run, row: int) -> xr.Dataset:
        fed = max(first + layers[0].shape[2] for first, layers in self._passes.items())
        roles = run.layout.roles()[row, :fed]
        columns = np.flatnonzero(roles != Role.PAD)
        positions = {int(column): position for position, column in enumerate(columns)}
        length = len(columns)
        attention = torch.zeros((len(self.layers), len(self.heads), length, length))
        for first, layers in self._passes.items():
            pattern = torch.stack([layer[row] for layer in layers]).cpu()
            for offset in range(pattern.shape[2]):
                query = positions.get(first + offset)
                if query is not None:
                    keys = columns[: query + 1]
                    attention[:, :, query, : query + 1] = pattern[:, :, offset, keys]
        names = [Role(role).name.lower() for role in roles[columns]]
        texts = self._texts(run, row)[:length]
        return xr.Dataset(
            {"attention": (("layer", "head", "query", "key"), attention.numpy())},
            coords={
                "layer": self.layers,
                "head": self.heads,
                "query": range(length),
                "key": range(length),
                "query_role": ("query", names),
                "key_role": ("key", names),
                "query_text": ("query", texts),
                "key_text": ("key", texts),
            },
            attrs={**self.model.provenance(), "problem": run.problems[row].id},
        )

    def _texts(self, run: Run, row: int) -> list[str]:
        """Return what a reader sees at each position, from the tokens that were fed."""
        template = self.model.template
        return [
            *self._spelled(run.question_tokens[row]),
            *(["<bot>"] * len(template.bot)),
            *(f"thought {i}" for i in range(run.n_thoughts[row])),
            *(["<eot>"] * len(template.eot)),
            *self._spelled(run.answer_tokens[row]),
        ]

    def _spelled(self, tokens: Sequence[int]) -> list[str]:
        return [str(self.model.tokenizer.decode([token])).strip() for token in tokens]
