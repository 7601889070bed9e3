"""Intervals: Wilson's for a rate, and leave-one-problem-out for everything else.

Problems are the unit. How far an estimate moves when one problem is left out says how much it
would move had other problems been drawn: the spread of these moves gives the standard error, their
kurtosis the degrees of freedom (a standard error that hangs on a few problems is itself uncertain)
and their skewness the lopsidedness of the interval of a mean. There is no randomness in it. In the
calibration (docs/statistics.md) it covers better than the percentile, BCa and studentised
bootstraps, most of all where failures are few.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm
from scipy.stats import t as student_t

from cot_attn.stats._arguments import require_confidence

Bounds = tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]


def wilson(
    successes: Float[np.ndarray, "*shape"] | Int[np.ndarray, "*shape"],
    n: Float[np.ndarray, "*shape"] | Int[np.ndarray, "*shape"],
    confidence: float = 0.95,
) -> Bounds:
    """Give Wilson's score interval for rates; NaN where n is 0.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    JASA 22.

    Examples
    --------
    >>> low, high = wilson(np.array([0]), np.array([10]))
    >>> low, high.round(3)
    (array([0.]), array([0.278]))
    """
    require_confidence(confidence)
    z = float(norm.ppf(0.5 + confidence / 2))
    n = np.where(np.asarray(n) > 0, n, np.nan)
    rate = successes / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)


def mean_interval(values: Float[np.ndarray, "problem *shape"], confidence: float = 0.95) -> Bounds:
    """Give the interval of a mean over problems, from one value a problem.

    A t interval, corrected for skewness by Hall's transformation. NaN for fewer than two problems;
    of no width where all values are equal.

    Source: Hall (1992), "On the removal of skewness by transformation", JRSS B 54; for the
    degrees of freedom see `degrees_of_freedom`.
    """
    require_confidence(confidence)
    n = len(values)
    if n < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    centre = values.mean(axis=0)
    deviations = values - centre
    scale = np.sqrt((deviations**2).mean(axis=0))
    unit = deviations / np.where(scale > 0, scale, 1.0)
    skewness = (unit**3).mean(axis=0)
    t = np.asarray(student_t.ppf(0.5 + confidence / 2, degrees_of_freedom(deviations)))
    reach = scale / np.sqrt(n - 1)
    low = centre - reach * _unskewed(t, skewness, n)
    high = centre - reach * _unskewed(-t, skewness, n)
    return low, high


def leave_one_out_interval(
    estimate: Float[np.ndarray, "*shape"],
    left_out: Float[np.ndarray, "problem *shape"],
    confidence: float = 0.95,
) -> Bounds:
    """Give the interval of any estimate from what it becomes without each of the problems.

    NaN where the estimate, or what becomes of it without some problem, is not defined.

    Parameters
    ----------
    estimate
        On a scale where its distribution is about symmetric: Fisher's z for correlations.
    left_out
        The same estimate without problem 0, without problem 1, ...

    Source: Efron and Stein (1981), "The jackknife estimate of variance", Annals of Statistics 9.
    """
    require_confidence(confidence)
    n = len(left_out)
    moves = left_out - left_out.mean(axis=0)
    standard_error = np.sqrt((n - 1) / n * (moves**2).sum(axis=0))
    # Halved: the moves are made of products, whose heavy tails a sample shows only in part.
    freedom = np.maximum(degrees_of_freedom(moves) / 2, 1)
    t = student_t.ppf(0.5 + confidence / 2, freedom)
    return estimate - t * standard_error, estimate + t * standard_error


def degrees_of_freedom(
    deviations: Float[np.ndarray, "problem *shape"],
) -> Float[np.ndarray, "*shape"]:
    """Say on how many degrees of freedom a standard error from these deviations stands.

    Satterthwaite's: 2n / (kurtosis - 1). It is n for normal deviations, and about twice the number
    of problems that matter where most deviations are near 0. At least 1, at most n - 1.

    Source: Satterthwaite (1946), "An approximate distribution of estimates of variance
    components", Biometrics 2.
    """
    n = len(deviations)
    second = (deviations**2).mean(axis=0)
    fourth = (deviations**4).mean(axis=0)
    safe = np.where(second > 0, second, 1.0)
    kurtosis = np.where(second > 0, fourth / safe**2, 3.0)
    freedom: np.ndarray = np.clip(2 * n / np.maximum(kurtosis - 1, 2 / n), 1, n - 1)
    return freedom


def _unskewed(
    t: Float[np.ndarray, "*shape"], skewness: Float[np.ndarray, "*shape"], n: int
) -> Float[np.ndarray, "*shape"]:
    """Solve Hall's g(T) = t for T, where g(T) = T + skew (2T² + 1) / 6 √n ..., a cubic in T."""
    root_n = np.sqrt(n)
    nonzero = np.where(np.abs(skewness) > 1e-6, skewness, 1e-6)
    inside = 1 + nonzero * (t / root_n - nonzero / (6 * n))
    solved: np.ndarray = 3 / nonzero * (np.cbrt(inside) - 1) * root_n
    return solved
