"""Means over problems, with intervals."""

import math
from collections.abc import Hashable, Iterator

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from cot_attn.stats.intervals import mean_interval
from cot_attn.stats.labels import require_dims
from cot_attn.stats.sample_size import with_warnings


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
    require_dims(values, ("problem",), "A mean over problems")
    rest: list[Hashable] = [dim for dim in values.dims if dim != "problem"]
    ordered = values.transpose("problem", *rest)
    shape = ordered.shape[1:]
    flat = ordered.values.astype(np.float64).reshape(ordered.shape[0], math.prod(shape))
    estimate, low, high = (np.full(flat.shape[1], np.nan) for _ in range(3))
    for present, columns in series_by_presence(flat):
        if present.any():
            # Sorted, so that the order of the problems does not show even in the last digit.
            block = np.sort(flat[present][:, columns], axis=0)
            estimate[columns] = block.mean(axis=0)
            low[columns], high[columns] = mean_interval(block, confidence)
    n_problems = np.isfinite(flat).sum(axis=0)
    named = {"estimate": estimate, "low": low, "high": high, "n_problems": n_problems}
    coords = {dim: ordered.coords[dim] for dim in rest if dim in ordered.coords}
    result = xr.Dataset(
        {name: (rest, numbers.reshape(shape)) for name, numbers in named.items()},
        coords=coords,
        attrs={"method": "mean over problems, skewness-corrected t", "confidence": confidence},
    )
    return with_warnings(result)


def series_by_presence(
    values: Float[np.ndarray, "problem series"],
) -> Iterator[tuple[Bool[np.ndarray, " problem"], Int[np.ndarray, " column"]]]:
    """Go through the series in groups that lack the same problems: as a rule there is one group.

    Yields
    ------
    Which problems are present, and the columns of the series in which these are.
    """
    if values.shape[1] == 0:
        return
    patterns, which = np.unique(np.isfinite(values).T, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        yield pattern, np.flatnonzero(which == index)
