"""Means over problems, with intervals."""

import numpy as np
import xarray as xr
from einops import rearrange

from cot_attn.stats._arguments import require_array, require_confidence
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.intervals import mean_interval
from cot_attn.stats._labelled.layout import other_dims, series_by_presence, unfold


def mean_over_problems(values: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    """Average over problems, and say how sure the mean is.

    Parameters
    ----------
    values
        (problem, ...): one value a problem for each of the other dimensions' labels; NaN where a
        problem has none.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high`, `n_problems` over the other dimensions. The interval is a t
        interval over problems, corrected for skewness.

    Examples
    --------
    >>> values = xr.DataArray([1.0, 2.0, 3.0], dims="problem")
    >>> result = mean_over_problems(values)
    >>> float(result.estimate), int(result.n_problems)
    (2.0, 3)
    """
    require_array(values, ("problem",), "A mean over problems")
    require_confidence(confidence)
    ordered = values.transpose("problem", ...).values.astype(np.float64)
    flat = rearrange(ordered, "problem ... -> problem (...)")
    estimate, low, high = (np.full(flat.shape[1], np.nan) for _ in range(3))
    for present, columns in series_by_presence(flat):
        if present.any():
            # Sorted, so that the order of the problems does not show even in the last digit.
            block = np.sort(flat[present][:, columns], axis=0)
            estimate[columns] = block.mean(axis=0)
            low[columns], high[columns] = mean_interval(block, confidence)
    n_problems = np.isfinite(flat).sum(axis=0)
    figures = {"estimate": estimate, "low": low, "high": high, "n_problems": n_problems}
    result = unfold(figures, [], other_dims(values, "problem"), values)
    return with_warnings(
        result.assign_attrs(
            method="mean over problems, skewness-corrected t", confidence=confidence
        )
    )
