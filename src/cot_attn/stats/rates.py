"""Rates over problems: how many are right, with Wilson's interval."""

import numpy as np
import xarray as xr

from cot_attn.stats._inference.intervals import wilson
from cot_attn.stats.averages import mean_over_problems


def rate_over_problems(
    values: xr.DataArray, by: str | None = None, *, confidence: float = 0.95
) -> xr.Dataset:
    """Count in how many problems something holds.

    Parameters
    ----------
    values
        (problem, ...): 1 where it holds, 0 where not, NaN where there is nothing to say.
    by
        A coordinate of the problems, such as "difficulty", whose groups are kept apart.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high` (Wilson's interval) and `n_problems` over ([by,] ...).

    Raises
    ------
    ValueError
        Where there are other values than 0 and 1: they have a mean, and no rate.

    Examples
    --------
    >>> result = rate_over_problems(xr.DataArray([1.0, 1.0, 0.0, 1.0], dims="problem"))
    >>> float(result.estimate), round(float(result.low), 2), round(float(result.high), 2)
    (0.75, 0.3, 0.95)
    """
    finite = values.values[np.isfinite(values.values.astype(float))]
    if not np.isin(finite, (0, 1)).all():
        raise ValueError("A rate counts what is 0 or 1. Use mean_over_problems for other numbers.")
    if by is not None:
        parts = [(label, part.drop_vars(by)) for label, part in values.astype(float).groupby(by)]
        if not parts:
            raise ValueError(f"No problem has a known {by!r}, so there is nothing to group by.")
        labels = xr.DataArray([label for label, _ in parts], dims=by, name=by)
        tables = [rate_over_problems(part, confidence=confidence) for _, part in parts]
        grouped: xr.Dataset = xr.concat(tables, dim=labels)
        return grouped
    result = mean_over_problems(values.astype(float), confidence=confidence)
    n = np.atleast_1d(result["n_problems"].values)
    bounds = wilson(np.atleast_1d(result["estimate"].values) * n, n, confidence)
    for name, bound in zip(("low", "high"), bounds, strict=True):
        result[name] = result[name].copy(data=bound.reshape(result[name].shape))
    return result.assign_attrs(method="rate, Wilson's interval")
