"""The same statistic for each group of problems: by difficulty, say."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Bool

Mask = Bool[np.ndarray, " problem"]


def for_each_group(groups: xr.DataArray, compute: Callable[[Mask], xr.Dataset]) -> xr.Dataset:
    """Compute a result for the problems of each group, and lay the results side by side.

    Parameters
    ----------
    groups
        A coordinate along `problem`. Problems whose group is not known are in none.
    compute
        Takes the mask of a group's problems.

    Returns
    -------
    xr.Dataset
        The groups' results along a new first dimension that bears the coordinate's name.
    """
    has_group = np.asarray(groups.notnull().values, dtype=bool)
    labels = np.unique(groups.values[has_group])
    if len(labels) == 0:
        raise ValueError(
            f"No problem has a known {groups.name!r}, so there is nothing to group by."
        )
    results = [compute(groups.values == label) for label in labels]
    name = str(groups.name)
    beside: xr.Dataset = xr.concat(results, dim=xr.DataArray(labels, dims=name, name=name))
    return beside
