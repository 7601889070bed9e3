"""Which problems a resample holds, and in which order a test shuffles them."""

import math
from itertools import permutations

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int

from cot_attn.stats._inference.estimands import NEGLIGIBLE

Weights = Float[np.ndarray, "resample problem"]
Orders = Int[np.ndarray, "resample _"]

LISTED_UP_TO = 7  # 7! = 5040 orders are listed; of more items, orders are drawn


def bootstrap_weights(n_problems: int, n_resamples: int, seed: int) -> Weights:
    """Draw problems with replacement: each row says what part of a resample each problem is.

    A resampled mean is then `weights @ values`, and a thousand resamples are one matrix product.

    Examples
    --------
    >>> bootstrap_weights(n_problems=4, n_resamples=2, seed=0).sum(axis=1)
    array([1., 1.])
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=n_resamples)
    weights: np.ndarray = counts / n_problems
    return weights


def how_often_largest(
    means: Float[np.ndarray, "resample item series"], picked: Int[np.ndarray, " series"]
) -> Float[np.ndarray, " series"]:
    """Say in what part of the resamples the picked item is the largest.

    Where several are, each counts for a part.
    """
    slack = NEGLIGIBLE * np.abs(means).max()
    largest = means >= means.max(axis=1, keepdims=True) - slack
    won = np.take_along_axis(largest, picked[None, None], axis=1)[:, 0]
    frequency: np.ndarray = (won / largest.sum(axis=1)).mean(axis=0)
    return frequency


def random_orders(n_items: int, n_orders: int, seed: int) -> Orders:
    """Shuffle the items, once a row."""
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(np.arange(n_items), (n_orders, 1)), axis=1)


def all_orders(n_items: int) -> Orders:
    """List every order of the items, the observed one first.

    Examples
    --------
    >>> all_orders(3).shape
    (6, 3)
    """
    return np.array(list(permutations(range(n_items))), dtype=np.int64)


def can_list_orders(n_items: int) -> bool:
    """Say whether the items are so few that every order is tried."""
    return math.factorial(n_items) <= math.factorial(LISTED_UP_TO)


def canonical_order(*arrays: Float[np.ndarray, "item ..."]) -> Int[np.ndarray, " item"]:
    """Order items (problems, say) by what was measured in them.

    Resamples are drawn for the items in this order. So neither the order in which problems,
    thoughts or layers are given nor their names change a result.
    """
    flat = [rearrange(array, "item ... -> item (...)") for array in arrays]
    ordered = np.concatenate([np.sort(rows, axis=1) for rows in flat], axis=1)
    in_order: np.ndarray = np.lexsort(ordered.T[::-1])
    if (ordered[in_order][1:] != ordered[in_order][:-1]).any(axis=1).all():
        return in_order
    # Items with the same numbers in other places are told apart by place; the places (thoughts,
    # layers) are brought into an order by what they hold, too.
    rows = np.concatenate(flat, axis=1)
    places = np.lexsort(np.sort(rows, axis=0)[::-1])
    keys = np.concatenate([ordered, rows[:, places]], axis=1)
    return np.lexsort(keys.T[::-1])
