"""How far an intervention moves attention, from the queries that read the answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.interventions.words import Words
from cot_attn.models.continuous import ContinuousThoughtModel

QUERIES = ("eot", "answer_value")


class Disruption:
    """Distances between attention rows of baselines and variants that say the same words.

    Rows go over positions and are compared head by head; the result is the mean over heads.

    Parameters
    ----------
    model
        The model.
    names
        Which distances: `disruption_l2` (Euclidean), `disruption_tv` (total variation, 0 to 1).
    shape
        Numbers of problems and of variants.
    """

    def __init__(
        self, model: ContinuousThoughtModel, names: set[str], shape: tuple[int, int]
    ) -> None:
        self.model = model
        full = (*shape, model.n_layers, len(QUERIES))
        self.arrays = {name: np.full(full, np.nan) for name in sorted(names)}
        self._baseline: list[Tensor] = []

    @contextmanager
    def baseline(self, words: Words) -> Iterator[None]:
        """Keep the rows of baselines that say their words while the context lasts."""
        with self._recorded(words) as rows:
            yield
        self._baseline = rows

    @contextmanager
    def variant(
        self, at: Int[Tensor, " rows"], words: Words, here: tuple[list[int], list[int]]
    ) -> Iterator[None]:
        """Compare the rows of variants with the baselines' rows `at`, and keep it `here`."""
        with self._recorded(words) as rows:
            yield
        for query, (baseline, variant) in enumerate(zip(self._baseline, rows, strict=True)):
            for name, values in self.arrays.items():
                distance = _distance(name, baseline[at], variant).mean(dim=-1)
                values[*here, :, query] = distance.cpu().numpy()

    def variables(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return the results with their dimensions."""
        dims = ("problem", "variant", "layer", "query")
        return {name: (dims, values) for name, values in self.arrays.items()}

    def coordinates(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates that the results add."""
        return {"layer": range(self.model.n_layers), "query": list(QUERIES)} if self.arrays else {}

    @contextmanager
    def _recorded(self, words: Words) -> Iterator[list[Tensor]]:
        """Collect rows (batch, layer, head, key), one tensor a query, while the context lasts."""
        collected: list[Tensor] = []
        if not self.arrays:
            yield collected
            return
        model, first = self.model, words.value[:, 0]
        batch = torch.arange(len(first), device=first.device)
        n_tokens = words.tokens.shape[1]
        closing: list[Tensor] = []
        valuing: list[Tensor] = []

        def record(pattern: Float[Tensor, "batch head query key"], hook: object) -> None:
            # One pass over EOT and the words: its last `n_tokens` queries predict one word each.
            predicting = pattern[:, :, -n_tokens:]
            closing.append(predicting[:, :, 0].float())
            valuing.append(predicting[batch, :, first.clamp(min=0)].float())

        names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.n_layers)]
        with model.hooks([(name, record) for name in names]):
            yield collected
        answering = torch.stack(valuing, dim=1)
        answering[first < 0] = torch.nan
        collected.extend([torch.stack(closing, dim=1), answering])


def _distance(
    name: str, baseline: Float[Tensor, "*batch key"], variant: Float[Tensor, "*batch key"]
) -> Float[Tensor, "*batch"]:
    difference = variant - baseline
    if name == "disruption_l2":
        return difference.square().sum(dim=-1).sqrt()
    return difference.abs().sum(dim=-1) / 2
