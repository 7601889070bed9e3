"""At which place of a ranking some words stand."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def ranks(scores: Float[Tensor, "n word"], wanted: Int[Tensor, "n some"]) -> Int[Tensor, "n some"]:
    """Return the ranks of wanted words, 1 for the greatest score, all in one look at the scores.

    A tie never counts in a word's favour: its rank is the number of words that are not below it.

    Examples
    --------
    >>> ranks(torch.tensor([[0.1, 0.7, 0.1]]), torch.tensor([[1, 0]])).tolist()
    [[1, 3]]
    """
    values, order = scores.gather(1, wanted).sort(dim=1)
    # How many of the wanted ones each word reaches.
    reached = torch.searchsorted(values, scores, right=True)
    counts = torch.zeros(len(scores), wanted.shape[1] + 1, dtype=torch.long, device=scores.device)
    counts.scatter_add_(1, reached, torch.ones_like(reached))
    not_below = counts.flip(1).cumsum(1).flip(1)[:, 1:]
    return torch.empty_like(wanted).scatter_(1, order, not_below)
