"""Intervals of what is measured of units that come in groups, such as problems of one template."""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student_t

from cot_attn.stats._arguments import require_confidence
from cot_attn.stats._inference.intervals import leave_one_out_interval

Values = Float[np.ndarray, " unit"]
Groups = Int[np.ndarray, " unit"]
Interval = tuple[float, float]


def rate_interval(hits: Values, groups: Groups, confidence: float = 0.95) -> Interval:
    """Give the interval of a rate of which whole groups are the sample.

    Wilson's, for as many independent units as would make the rate as sure as the groups do; where
    all units are alike, for as many as there are groups. NaN for fewer than two groups.

    Source: Dean and Pagano (2015), "Evaluating confidence interval methods for binomial proportions
    in clustered surveys", Journal of Survey Statistics and Methodology 3.

    Examples
    --------
    >>> hits = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    >>> alone, pairs = np.arange(8), np.repeat(np.arange(4), 2)
    >>> [round(each, 2) for each in rate_interval(hits, alone)]
    [0.24, 0.9]
    >>> [round(each, 2) for each in rate_interval(hits, pairs)]
    [0.12, 0.95]
    """
    require_confidence(confidence)
    n, n_groups = len(hits), len(np.unique(groups))
    if n_groups < 2:
        return float("nan"), float("nan")
    rate = float(hits.mean())
    sums = per_group(hits - rate, groups)
    variance = n_groups / (n_groups - 1) * float((sums**2).sum()) / n**2
    alike = variance < 1e-12
    n_effective = n_groups if alike else min(rate * (1 - rate) / variance, n)
    t2 = float(student_t.ppf(0.5 + confidence / 2, n_groups - 1)) ** 2
    centre = (rate + t2 / (2 * n_effective)) / (1 + t2 / n_effective)
    spread = rate * (1 - rate) / n_effective + t2 / (4 * n_effective**2)
    reach = np.sqrt(t2 * spread) / (1 + t2 / n_effective)
    return max(float(centre - reach), 0.0), min(float(centre + reach), 1.0)


def mean_interval_of_groups(values: Values, groups: Groups, confidence: float = 0.95) -> Interval:
    """Give the interval of a mean over units, leaving out one group after the other."""
    require_confidence(confidence)
    sums, counts = per_group(values, groups), per_group(np.ones(len(values)), groups)
    if len(sums) < 2:
        return float("nan"), float("nan")
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    return left_out_interval(float(values.mean()), left_out, confidence)


def left_out_interval(
    estimate: float, left_out: Float[np.ndarray, " group"], confidence: float = 0.95
) -> Interval:
    """Give the interval of an estimate from what it is without each of the groups."""
    low, high = leave_one_out_interval(np.array([estimate]), left_out[:, None], confidence)
    return float(low[0]), float(high[0])


def r2(values: Values, predicted: Values) -> float:
    """Return the part of the values' variance that predictions explain; it can be negative."""
    total = float(((values - values.mean()) ** 2).sum())
    return 1 - float(((values - predicted) ** 2).sum()) / total if total > 0 else float("nan")


def r2_left_out(values: Values, predicted: Values, groups: Groups) -> Float[np.ndarray, " group"]:
    """Return R² without each of the groups."""
    squares = ((values - predicted) ** 2, values**2, values, np.ones(len(values)))
    missed, squared, sums, n = ((each := per_group(part, groups)).sum() - each for part in squares)
    left: Float[np.ndarray, " group"] = 1 - missed / (squared - sums**2 / n)
    return left


def per_group(values: Values, groups: Groups) -> Float[np.ndarray, " group"]:
    """Add up the values of each group."""
    _, which = np.unique(groups, return_inverse=True)
    sums: Float[np.ndarray, " group"] = np.bincount(which, weights=values)
    return sums
