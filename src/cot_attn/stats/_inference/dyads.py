"""Means over pairs of problems, where pairs that share a problem are not independent.

The variance of a mean over pairs counts, beside each pair's own deviation, the products of the
deviations of all pairs that have a problem in common, whichever of the two it is there. It is
never taken to be less than that of as many independent pairs.

Source: Aronow, Samii and Assenova (2015), "Cluster-robust variance estimation for dyadic data",
Political Analysis 23; the sum over problems of squared sums is theirs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student_t

Values = Float[np.ndarray, " pair"]
Members = Int[np.ndarray, " pair"]


class DyadicMean(NamedTuple):
    """A mean over pairs, its standard error, and how many problems and pairs it rests on."""

    estimate: float
    standard_error: float
    n_problems: int
    n_pairs: int
    fewest: int

    def quantile(self, confidence: float) -> float:
        """Return Student's t with as many degrees of freedom as there are problems but one."""
        freedom = max(self.fewest - 1, 1)
        return float(student_t.ppf(0.5 + confidence / 2, freedom))


def dyadic_mean(values: Values, first: Members, second: Members) -> DyadicMean:
    """Average over pairs of problems; NaN is left out.

    Parameters
    ----------
    values
        One for each pair.
    first, second
        The numbers of each pair's two problems.
    """
    finite = np.isfinite(values)
    values, first, second = values[finite], first[finite], second[finite]
    n = len(values)
    if n == 0:
        return DyadicMean(np.nan, np.nan, 0, 0, 0)
    estimate = float(values.mean())
    deviations = values - estimate
    members = np.unique(np.concatenate([first, second]))
    n_problems = len(members)
    size = int(members.max()) + 1
    sums = np.bincount(first, deviations, size)
    sums += np.bincount(second, np.where(first == second, 0.0, deviations), size)
    # Pairs of the same two problems were counted at each of the two.
    dyads = np.unique(np.sort(np.stack([first, second]), axis=0), axis=1, return_inverse=True)[1]
    both = np.bincount(dyads.ravel(), np.where(first == second, 0.0, deviations))
    squares = float((sums**2).sum() - (both**2).sum())
    fewest = min(len(np.unique(first)), len(np.unique(second)))
    correction = n_problems / max(n_problems - 1, 1)
    independent = float((deviations**2).sum()) / max(n - 1, 1) / n
    variance = max(correction * squares / n**2, independent)
    return DyadicMean(estimate, float(np.sqrt(variance)), n_problems, n, fewest)


def dyadic_rate(mean: DyadicMean, confidence: float) -> tuple[float, float]:
    """Give Wilson's interval for a rate over pairs, of as many pairs as are worth independent ones.

    That number is the rate's variance if pairs were independent, over its variance. Where all are
    the same, nothing is known of it, and it is the smaller number of different bases or sources.
    """
    rate, error = mean.estimate, mean.standard_error
    if mean.n_pairs == 0:
        return np.nan, np.nan
    worth: float = mean.fewest
    if 0 < rate < 1:
        worth = min(rate * (1 - rate) / error**2, mean.n_pairs) if error > 0 else mean.n_pairs
    t = mean.quantile(confidence)
    centre = (rate + t**2 / (2 * worth)) / (1 + t**2 / worth)
    reach = t / (1 + t**2 / worth) * np.sqrt(rate * (1 - rate) / worth + t**2 / (4 * worth**2))
    return max(float(centre - reach), 0.0), min(float(centre + reach), 1.0)


def dyadic_test(mean: DyadicMean) -> float:
    """Test whether a mean over pairs is 0: Student's t, two-sided.

    Where all pairs have the same number, its sign is tested, as that of as many independent ones as
    there are different bases or sources.
    """
    if mean.fewest < 2:
        return np.nan
    if not mean.standard_error > 0:
        return float(min(1.0, 2 * 0.5**mean.fewest)) if mean.estimate else 1.0
    freedom = max(mean.fewest - 1, 1)
    return float(2 * student_t.sf(abs(mean.estimate) / mean.standard_error, freedom))
