"""Are two thoughts (corruptions, models, layers) different? Paired over problems."""

from typing import Literal, get_args

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import require_array, require_choice
from cot_attn.stats._inference.paired import compare_pairs
from cot_attn.stats._labelled.labels import as_array

Pairs = Literal["all", "adjacent"]
PAIRS: tuple[Pairs, ...] = get_args(Pairs)


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
        `concentration_per_problem(shares)`. Of a data set, its `failed` is taken. Problems in which
        either of the two is missing are left out of that pair.
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
    require_array(array, ("problem", between), "A contrast")
    if between == "problem":
        raise ValueError("Problems are what is averaged over; compare another dimension's labels.")
    require_choice("pairs", pairs, PAIRS)
    finite = array.values[np.isfinite(array.values)]
    return compare_pairs(
        array,
        between,
        adjacent=pairs == "adjacent",
        yes_or_no=bool(np.isin(finite, (0.0, 1.0)).all()),
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )
