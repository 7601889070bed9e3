"""Permutation tests of the four correlations.

Each test shuffles what its null hypothesis says may be shuffled, and nothing else:

- within_problem and within_thought: the problems' rows of one array against the other's. What
  the thoughts have in common over problems stays where it is.
- between_thoughts: the labels of the thoughts.
- pooled: both.

The first two compare a sum over problems divided by its spread, so that they hold up where the
problems with large deviations in one array also have large ones in the other (DiCiccio and Romano
2017, "Robust permutation tests for correlation and regression coefficients", JASA 112).

Every statistic is a sum of products, so that many shuffles of many series are a matrix product.
"""

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float

from cot_attn.stats._inference.estimands import Estimand, Method, centred_profile, prepare
from cot_attn.stats._inference.resampling import (
    Orders,
    all_orders,
    can_list_orders,
    canonical_order,
    random_orders,
)
from cot_attn.stats._labelled.layout import Values

PValues = Float[np.ndarray, "thought_or_one series"]
Statistics = Float[np.ndarray, "#order series"]

FEW_SERIES = 32
NUMBERS_AT_ONCE = 2_000_000  # shuffled copies that are held in memory at a time (16 MB)


def p_values(
    attention: Values,
    failure: Values,
    estimand: Estimand,
    method: Method,
    *,
    n_resamples: int,
    seed: int,
) -> PValues:
    """Test that the two arrays have nothing to do with each other, in the estimand's sense.

    Two-sided: twice the smaller tail. Where orders are drawn and not listed, the observed one
    counts as one of them, so that p is never 0 and never too small.

    Parameters
    ----------
    attention
        (problem, thought, series), not yet centred.
    failure
        (problem, thought, 1), not yet centred.
    """
    n_problems, n_thoughts = failure.shape[:2]
    a, f = prepare(attention, estimand, method), prepare(failure, estimand, method)[:, :, 0]
    if estimand == "between_thoughts":
        return _between_thoughts(a, f, method, n_resamples, seed)
    rows = random_orders(n_problems, n_resamples, seed)
    if estimand == "pooled":
        # Centred on the grand mean, the sum of products is the correlation but for a factor.
        by_thought = rearrange(a, "problem thought series -> thought problem series")
        by_value = canonical_order(f.T, by_thought)
        columns = random_orders(n_thoughts, n_resamples, seed + 1)
        a, f = a[:, by_value], f[:, by_value]
        observed = _sums(a, f, np.arange(n_problems)[None])
        return _two_sided(observed, _sums(a, f, rows, columns))

    # Ranks of centred values need not have mean 0 in each thought, and the test is about what is
    # left when the thoughts' own level is taken out.
    a, f = a - a.mean(axis=0), f - f.mean(axis=0)
    if estimand == "within_problem":
        return _studentised(a, f, rows)
    thoughts = [[t] for t in range(n_thoughts)]
    return np.concatenate([_studentised(a[:, t], f[:, t], rows) for t in thoughts])


def _between_thoughts(
    a: Values, f: Float[np.ndarray, "problem thought"], method: Method, n_resamples: int, seed: int
) -> PValues:
    profile_a = centred_profile(a.mean(axis=0, keepdims=True), method)[0]
    profile_f = centred_profile(f.mean(axis=0)[None, :, None], method)[0, :, 0]
    listed = can_list_orders(len(profile_f))
    if listed:
        orders = all_orders(len(profile_f))
    else:
        orders = random_orders(len(profile_f), n_resamples, seed)
        by_value = canonical_order(profile_f, profile_a)
        profile_a, profile_f = profile_a[by_value], profile_f[by_value]
    return _two_sided(profile_f[None] @ profile_a, profile_f[orders] @ profile_a, listed=listed)


def _studentised(a: Values, f: Float[np.ndarray, "problem thought"], rows: Orders) -> PValues:
    """Shuffle f's rows; compare sums over problems of a[p]·f[p], divided by their spread."""
    sums_and_squares = _by_pairs if a.shape[2] <= FEW_SERIES else _by_features

    def statistics(orders: Orders) -> Statistics:
        sums, squares = sums_and_squares(a, f, orders)
        spread = np.sqrt(np.maximum(squares, 0))
        ratio: Statistics = np.divide(sums, spread, out=np.zeros_like(sums), where=spread > 0)
        return ratio

    return _two_sided(statistics(np.arange(len(f))[None]), statistics(rows))


def _by_pairs(
    a: Values, f: Float[np.ndarray, "problem thought"], rows: Orders
) -> tuple[Statistics, Statistics]:
    """Multiply every row of a with every row of f, then pick: quick for few series."""
    n_problems, _, n_series = a.shape
    places = np.arange(n_problems) * n_problems + rows
    sums, squares = np.empty((2, len(rows), n_series))
    for series in range(n_series):
        picked = np.take(a[:, :, series] @ f.T, places)
        sums[:, series] = picked.sum(axis=1)
        squares[:, series] = np.einsum("op,op->o", picked, picked)
    return sums, squares


def _by_features(
    a: Values, f: Float[np.ndarray, "problem thought"], rows: Orders
) -> tuple[Statistics, Statistics]:
    """Write (a·f)² as linear in the products f[t]f[u], so that all series are one product."""
    first, second = np.tril_indices(f.shape[1])
    twice = np.where(first == second, 1.0, 2.0)[:, None]
    squares_a = a[:, first] * a[:, second] * twice
    squares_f = f[:, first] * f[:, second]
    return _sums(a, f, rows), _sums(squares_a, squares_f, rows)


def _sums(
    a: Values,
    f: Float[np.ndarray, "problem thought"],
    rows: Orders,
    columns: Orders | None = None,
) -> Statistics:
    """Sum a times the shuffled f over problems and thoughts, for each order."""
    flat = rearrange(a, "problem thought series -> (problem thought) series")
    step = max(1, NUMBERS_AT_ONCE // f.size)
    sums = []
    for start in range(0, len(rows), step):
        shuffled = f[rows[start : start + step]]
        if columns is not None:
            shuffled = np.take_along_axis(shuffled, columns[start : start + step, None, :], axis=2)
        sums.append(rearrange(shuffled, "order problem thought -> order (problem thought)") @ flat)
    return np.concatenate(sums)


def _two_sided(observed: Statistics, shuffled: Statistics, *, listed: bool = False) -> PValues:
    # Orders that only swap equal values give the same number but for rounding.
    slack = 1e-9 * np.abs(shuffled).max(axis=0)
    extra = 0 if listed else 1  # a listing holds the observed order already
    at_least: Bool[np.ndarray, "order series"] = shuffled >= observed - slack
    at_most: Bool[np.ndarray, "order series"] = shuffled <= observed + slack
    tail = np.minimum(at_least.sum(axis=0), at_most.sum(axis=0)) + extra
    p: PValues = np.minimum(2 * tail / (len(shuffled) + extra), 1.0)[None]
    return p
