"""Four correlations between two arrays over problems and thoughts.

With a and f measured in problem p and thought t, and a bar over the index that is averaged:

- pooled: corr(a[p,t], f[p,t]) over all points;
- between_thoughts: corr(ā[t], f̄[t]) over thoughts, of the means over problems;
- within_problem: corr of a[p,t] - ā[p] - ā[t] + ā (double-centred) with the same of f;
- within_thought: corr(a[p,t], f[p,t]) over problems, for each thought.

All four are functions of means over problems (`Moments`), so that leaving out each problem in turn
costs no more than the estimate itself.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from einops import rearrange
from jaxtyping import Float
from scipy.stats import rankdata

from cot_attn.stats._labelled.layout import Values

Estimand = Literal["pooled", "between_thoughts", "within_problem", "within_thought"]
Method = Literal["pearson", "spearman"]
ESTIMANDS: tuple[Estimand, ...] = get_args(Estimand)
METHODS: tuple[Method, ...] = get_args(Method)

Means = Float[np.ndarray, "sample thought _"]
Correlations = Float[np.ndarray, "sample thought_or_one series"]

NEGLIGIBLE = 1e-6  # spread below this part of the largest value is float32 rounding, not variation


def prepare(values: Values, estimand: Estimand, method: Method) -> Values:
    """Centre the values as the estimand asks for, then (Spearman) put ranks in their place."""
    axes = {"pooled": (0, 1), "within_problem": (0, 1), "within_thought": (0,)}.get(estimand)
    if axes is None:  # between_thoughts: the means are ranked, in each resample anew
        return values
    centred: Values = values - values.mean(axis=axes, keepdims=True)
    if estimand == "within_problem":
        centred = values - values.mean(axis=1, keepdims=True)
        centred -= centred.mean(axis=0, keepdims=True)
    if method == "pearson":
        return centred
    scale = np.abs(values).max(axis=(0, 1), keepdims=True)
    # Equal values must tie: centring leaves them apart by a rounding error.
    rounded = np.round(centred / np.where(scale > 0, scale, 1), 10)
    if axes == (0,):
        ranks: Values = rankdata(rounded, axis=0)
    else:
        points = rearrange(rounded, "problem thought series -> (problem thought) series")
        ranks = rearrange(
            rankdata(points, axis=0),
            "(problem thought) series -> problem thought series",
            problem=len(values),
        )
    ranks -= ranks.mean(axis=axes, keepdims=True)
    return ranks


def varies(values: Values, estimand: Estimand) -> np.ndarray:
    """Say where there is any variation of the kind that the estimand looks at.

    Returns
    -------
    Booleans of shape (thought, series) for within_thought and (1, series) for the others.
    """
    centred = prepare(values, estimand, "pearson")
    if estimand == "between_thoughts":
        means = values.mean(axis=0, keepdims=True)
        centred = means - means.mean(axis=1, keepdims=True)
    axes = (0,) if estimand == "within_thought" else (0, 1)
    spread = np.sqrt((centred**2).mean(axis=axes))
    scale = np.abs(values).max(axis=(0, 1))
    return np.atleast_2d(spread > NEGLIGIBLE * scale)


class Moments(NamedTuple):
    """Means over problems, each (sample, thought, series): all that a correlation depends on."""

    a: Means
    f: Means
    aa: Means
    ff: Means
    af: Means


def observed_moments(attention: Values, failure: Values) -> Moments:
    """Average over all problems: one sample."""
    products = (attention, failure, attention**2, failure**2, attention * failure)
    return Moments(*(product.mean(axis=0, keepdims=True) for product in products))


def leave_one_out_moments(attention: Values, failure: Values) -> Moments:
    """Average over all problems but one: as many samples as there are problems."""
    n_problems = len(failure)
    products = (attention, failure, attention**2, failure**2, attention * failure)
    return Moments(
        *((product.sum(axis=0, keepdims=True) - product) / (n_problems - 1) for product in products)
    )


def correlations(moments: Moments, estimand: Estimand, method: Method) -> Correlations:
    """Correlate prepared values, in every sample that the moments describe.

    Returns
    -------
    (sample, thought, series) for within_thought, (sample, 1, series) for the others; NaN where a
    sample holds no variation.
    """
    if estimand == "between_thoughts":
        a, f = (centred_profile(means, method) for means in (moments.a, moments.f))
        return _ratio(*(x.mean(axis=1, keepdims=True) for x in (a * f, a**2, f**2)))
    a, f = moments.a, moments.f
    if estimand == "pooled" or (estimand == "within_problem" and method == "spearman"):
        # One mean over all points. (The ranks of double-centred values are pooled.)
        a, f = a.mean(axis=1, keepdims=True), f.mean(axis=1, keepdims=True)
    terms = moments.af - a * f, moments.aa - a**2, moments.ff - f**2
    if estimand == "within_thought":
        return _ratio(*terms)
    return _ratio(*(term.mean(axis=1, keepdims=True) for term in terms))


def centred_profile(means: Means, method: Method) -> Means:
    """Centre the thoughts' means, or (Spearman) their ranks."""
    profile = rankdata(means, axis=1) if method == "spearman" else means
    centred: Means = profile - profile.mean(axis=1, keepdims=True)
    return centred


def _ratio(covariance: np.ndarray, variance_a: np.ndarray, variance_f: np.ndarray) -> Correlations:
    # Where the one problem that varies is left out, rounding leaves a trace of a variance.
    variances = (
        np.where(v > NEGLIGIBLE**2 * v.max(axis=0), v, 0) for v in (variance_a, variance_f)
    )
    scale = np.sqrt(next(variances) * next(variances))
    nothing = np.full(covariance.shape, np.nan)
    ratio: Correlations = np.divide(covariance, scale, out=nothing, where=scale > 0)
    return ratio.clip(-1, 1)
