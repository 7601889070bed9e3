"""Differences between the labels of a dimension, each problem with itself: test and interval."""

from itertools import combinations, pairwise

import numpy as np
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from scipy.stats import binom, norm

from cot_attn.stats._arguments import require_confidence, require_resamples, require_several
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.estimands import NEGLIGIBLE
from cot_attn.stats._inference.intervals import mean_interval
from cot_attn.stats._inference.multiplicity import benjamini_hochberg, holm
from cot_attn.stats._inference.resampling import canonical_order
from cot_attn.stats._labelled.layout import other_dims, series_by_presence, unfold

Differences = Float[np.ndarray, "problem series"]
PerSeries = Float[np.ndarray, " series"]

FEWEST_PROBLEMS = 6  # of fewer, no assignment of signs is rarer than 1 in 20


def compare_pairs(
    array: xr.DataArray,
    between: str,
    *,
    adjacent: bool,
    yes_or_no: bool,
    confidence: float,
    n_resamples: int,
    seed: int,
) -> xr.Dataset:
    """Test the differences between labels, as counts of yes and no or as amounts."""
    require_confidence(confidence)
    require_resamples(n_resamples)
    require_several(array, between, "nothing to compare")
    labels = array[between].values
    ordered = array.transpose("problem", between, ...).values.astype(np.float64)
    flat = rearrange(ordered, "problem label ... -> problem label (...)")

    index = range(len(labels))
    chosen = list(pairwise(index) if adjacent else combinations(index, 2))
    shape = (len(chosen), flat.shape[2])
    names = ("estimate", "low", "high", "p", "n_problems")
    figures = {name: np.full(shape, np.nan) for name in names}
    reason = np.full(shape, "", dtype="<U80")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_resamples, len(flat)))
    for row, (first, second) in enumerate(chosen):
        differences = flat[:, second] - flat[:, first]
        for present, columns in series_by_presence(differences):
            block = differences[present][:, columns]
            n = len(block)
            figures["n_problems"][row, columns] = n
            if n < FEWEST_PROBLEMS:
                reason[row, columns] = f"only {n} complete problems"
                continue
            block = block[canonical_order(np.abs(block))]
            figures["estimate"][row, columns] = block.mean(axis=0)
            if yes_or_no:
                figures["p"][row, columns] = _mcnemar(block)
                low, high = _agresti_min(block, confidence)
            else:
                scale = np.abs(flat[present][:, [first, second]][:, :, columns]).max(axis=(0, 1))
                constant = np.ptp(block, axis=0) <= NEGLIGIBLE * scale
                reason[row, columns[constant]] = "the difference is the same in all problems"
                figures["p"][row, columns] = np.where(constant, np.nan, _flip(block, signs[:, :n]))
                bounds = mean_interval(block, confidence)
                low, high = (np.where(constant, np.nan, bound) for bound in bounds)
            figures["low"][row, columns], figures["high"][row, columns] = low, high

    figures["p_holm"], figures["q"] = holm(figures["p"]), benjamini_hochberg(figures["p"])
    figures["n_problems"] = figures["n_problems"].astype(np.int64)
    result = unfold(
        {**figures, "reason": reason}, ["pair"], other_dims(array, "problem", between), array
    )
    return with_warnings(
        result.assign_coords(
            first=("pair", labels[[first for first, _ in chosen]]),
            second=("pair", labels[[second for _, second in chosen]]),
        ).assign_attrs(
            between=between,
            test="McNemar, exact" if yes_or_no else "random signs of the problems' differences",
            interval=(
                "Agresti and Min" if yes_or_no else "mean over problems, skewness-corrected t"
            ),
            n_tests=int(np.isfinite(figures["p"]).sum()),
            confidence=confidence,
            n_resamples=n_resamples,
            seed=seed,
        )
    )


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
