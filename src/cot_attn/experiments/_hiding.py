"""Taking a position's view of others away: attention knock-out, column by column."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cot_attn.interventions.masking import scores_changed, whole
from cot_attn.models import ContinuousThoughtModel, Layout

Holes = Bool[Tensor, "rows query_column key_column"]
Heads = Bool[Tensor, "rows layer head"]


@contextmanager
def hiding(model: ContinuousThoughtModel, holes: Holes, heads: Heads) -> Iterator[None]:
    """Hide columns from others, in some heads, in everything that runs while the context lasts.

    Parameters
    ----------
    holes
        True where a row's query column may not look at a key column. A column always sees itself.
    heads
        True where a row's head is one of those that may not look.
    """
    diagonal = torch.eye(holes.shape[1], dtype=torch.bool, device=holes.device)
    holes = holes & ~diagonal
    layers = torch.nonzero(heads.any(dim=(0, 2)))[:, 0].tolist()

    def change(layer: int, scores: Float[Tensor, "#rows #heads query key"]) -> Tensor:
        n_queries, n_keys = scores.shape[2:]
        here = holes[:, None, n_keys - n_queries : n_keys, :n_keys]
        if not here.any():
            return scores
        chosen = heads[:, layer]
        alike = bool((chosen == chosen[:, :1]).all())
        scores = whole(scores, model, by_head=not alike)
        told_apart = chosen[:, :1] if alike else chosen
        hidden = here & told_apart[:, :, None, None]
        return scores.masked_fill(hidden, torch.finfo(scores.dtype).min)

    with scores_changed(model, layers, change):
        yield


def node_columns(layout: Layout, node: str) -> range:
    """Return the columns of a node: question, bot, thought i, eot or answer.

    The answer has all columns behind EOT.
    """
    columns = {**layout.keys(), "answer": range(layout.eot.stop, layout.eot.stop + 10**6)}
    if node not in columns:
        raise ValueError(
            f"There is no node {node!r}. Accepted are question, bot, thought 0 to thought "
            f"{layout.n_thoughts - 1}, eot and answer."
        )
    return columns[node]


def no_holes(layout: Layout, max_new_tokens: int, device: torch.device) -> Holes:
    """Return holes for every column that a batch will have, none of them open yet."""
    width = layout.eot.stop + max_new_tokens
    n_rows = len(layout.question_lengths)
    return torch.zeros(n_rows, width, width, dtype=torch.bool, device=device)
