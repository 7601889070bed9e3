"""Are two thoughts (corruptions, models, layers) different? Paired over problems."""

import math
from collections.abc import Hashable
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import binom, norm

from cot_attn.stats.averages import series_by_presence
from cot_attn.stats.estimands import NEGLIGIBLE
from cot_attn.stats.intervals import mean_interval
from cot_attn.stats.labels import as_array, require_dims
from cot_attn.stats.multiplicity import benjamini_hochberg, holm
from cot_attn.stats.resampling import canonical_order
from cot_attn.stats.sample_size import with_warnings
from cot_attn.stats.settings import require_confidence, require_resamples

Pairs = Literal["all", "adjacent"]
Differences = Float[np.ndarray, "problem series"]
PerSeries = Float[np.ndarray, " series"]

FEWEST_PROBLEMS = 6  # of fewer, no assignment of signs is rarer than 1 in 20


def contrasts(
    values: xr.DataArray | xr.Dataset,
    between: str = "thought",
    *,
    pairs: Pairs = "all",
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Compare the labels of one dimension, two at a time, each problem with itself.

    Parameters
    ----------
    values
        (problem, `between`, ...), for instance `effects.failed.mean("corruption")`, or
        `concentration_of(shares)`. Of a data set, its `failed` is taken. Problems in which either
        of the two is missing are left out of that pair.
    between
        The dimension whose labels are compared: "thought", "corruption", "model", "layer", ...
    pairs
        "all", or "adjacent": each label with the next.

    Returns
    -------
    xr.Dataset
        Over (pair, ...), with coordinates `first` and `second` along `pair`: `estimate` (the mean
        of the second minus that of the first), `low`, `high`, `p`, `p_holm` and `q`
        (Benjamini-Hochberg), both over all tests in this result, `n_problems`, and `reason` where
        something is NaN.

        Where all values are 0 or 1, p is McNemar's exact test and the interval Agresti and Min's
        (2005, "Simple improved confidence intervals for comparing matched proportions",
        Statistics in Medicine 24). Otherwise p is from flipping the signs of the problems'
        differences at random, and the interval is that of a mean over problems.

    Examples
    --------
    >>> failed = xr.DataArray([[1.0, 0.0]] * 8, dims=("problem", "thought"))
    >>> result = contrasts(failed)
    >>> float(result.estimate[0]), round(float(result.p[0]), 4)
    (-1.0, 0.0078)
    """
    array = as_array(values, "failed")
    require_dims(array, ("problem", between), "A contrast")
    if between == "problem":
        raise ValueError("Problems are what is averaged over; compare another dimension's labels.")
    if pairs not in ("all", "adjacent"):
        raise ValueError(f"pairs={pairs!r} is not known. Use 'all' or 'adjacent'.")
    finite = array.values[np.isfinite(array.values)]
    return paired(
        array,
        between,
        pairs=pairs,
        yes_or_no=bool(np.isin(finite, (0.0, 1.0)).all()),
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )


def paired(
    array: xr.DataArray,
    between: str,
    *,
    pairs: Pairs,
    yes_or_no: bool,
    confidence: float,
    n_resamples: int,
    seed: int,
) -> xr.Dataset:
    """Test the differences between labels, as counts of yes and no or as amounts."""
    require_confidence(confidence)
    require_resamples(n_resamples)
    labels = array[between].values
    if len(labels) < 2:
        raise ValueError(f"There is one {between} only ({labels.tolist()}): nothing to compare.")
    rest: list[Hashable] = [dim for dim in array.dims if dim not in ("problem", between)]
    ordered = array.transpose("problem", between, *rest)
    numbers = ordered.values.astype(np.float64)
    flat = numbers.reshape(*numbers.shape[:2], math.prod(numbers.shape[2:]))

    index = range(len(labels))
    chosen = list(combinations(index, 2) if pairs == "all" else pairwise(index))
    shape = (len(chosen), flat.shape[2])
    names = ("estimate", "low", "high", "p", "n_problems")
    found = {name: np.full(shape, np.nan) for name in names}
    reason = np.full(shape, "", dtype="<U80")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_resamples, len(flat)))
    for row, (first, second) in enumerate(chosen):
        differences = flat[:, second] - flat[:, first]
        for present, columns in series_by_presence(differences):
            block = differences[present][:, columns]
            n = len(block)
            found["n_problems"][row, columns] = n
            if n < FEWEST_PROBLEMS:
                reason[row, columns] = f"only {n} complete problems"
                continue
            block = block[canonical_order(np.abs(block))]
            found["estimate"][row, columns] = block.mean(axis=0)
            if yes_or_no:
                found["p"][row, columns] = _mcnemar(block)
                low, high = _agresti_min(block, confidence)
            else:
                scale = np.abs(flat[present][:, [first, second]][:, :, columns]).max(axis=(0, 1))
                constant = np.ptp(block, axis=0) <= NEGLIGIBLE * scale
                reason[row, columns[constant]] = "the difference is the same in all problems"
                found["p"][row, columns] = np.where(constant, np.nan, _flip(block, signs[:, :n]))
                bounds = mean_interval(block, confidence)
                low, high = (np.where(constant, np.nan, bound) for bound in bounds)
            found["low"][row, columns], found["high"][row, columns] = low, high

    found["p_holm"], found["q"] = holm(found["p"]), benjamini_hochberg(found["p"])
    dims: list[Hashable] = ["pair", *rest]
    full = (len(chosen), *numbers.shape[2:])
    variables = {name: (dims, table.reshape(full)) for name, table in found.items()}
    variables["n_problems"] = (dims, found["n_problems"].reshape(full).astype(np.int64))
    variables["reason"] = (dims, reason.reshape(full))
    result = xr.Dataset(
        variables,
        coords={
            "first": ("pair", labels[[first for first, _ in chosen]]),
            "second": ("pair", labels[[second for _, second in chosen]]),
            **{dim: ordered.coords[dim] for dim in rest if dim in ordered.coords},
        },
        attrs={
            "between": between,
            "test": "McNemar, exact" if yes_or_no else "random signs of the problems' differences",
            "interval": (
                "Agresti and Min" if yes_or_no else "mean over problems, skewness-corrected t"
            ),
            "n_tests": int(np.isfinite(found["p"]).sum()),
            "confidence": confidence,
            "n_resamples": n_resamples,
            "seed": seed,
        },
    )
    return with_warnings(result)


def _flip(differences: Differences, signs: Float[np.ndarray, "resample problem"]) -> PerSeries:
    """Ask how often random signs give a mean as far from 0; the observed signs count as one.

    The sum of squares stays, so that the mean orders the resamples as Student's t does. The signs
    meet the differences' sizes, so that it does not matter which label comes first.
    """
    shuffled = np.abs(signs @ np.abs(differences))
    slack = 1e-9 * np.abs(differences).sum(axis=0)
    as_far = shuffled >= np.abs(differences.sum(axis=0)) - slack
    p: PerSeries = (as_far.sum(axis=0) + 1) / (len(signs) + 1)
    return p


def _mcnemar(differences: Differences) -> PerSeries:
    more, less = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
    p: PerSeries = np.minimum(1.0, 2 * binom.cdf(np.minimum(more, less), more + less, 0.5))
    return p


def _agresti_min(differences: Differences, confidence: float) -> tuple[PerSeries, PerSeries]:
    """Add half a problem to each cell of the table of pairs, then take Wald's interval."""
    n = len(differences) + 2
    more, less = (differences > 0).sum(axis=0) + 0.5, (differences < 0).sum(axis=0) + 0.5
    centre = (more - less) / n
    reach = norm.ppf(0.5 + confidence / 2) * np.sqrt((more + less) - (more - less) ** 2 / n) / n
    return np.maximum(centre - reach, -1.0), np.minimum(centre + reach, 1.0)
