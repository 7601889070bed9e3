"""How few thoughts attention, or importance, gathers on."""

import numpy as np
import xarray as xr
from scipy.special import xlogy

from cot_attn.stats.averages import mean_over_problems
from cot_attn.stats.labels import require_dims

MEASURES = ("entropy", "effective_number", "largest_share")


def concentration_of(shares: xr.DataArray) -> xr.DataArray:
    """Measure how concentrated each set of shares is.

    Parameters
    ----------
    shares
        Non-negative, with a `thought` dimension; scaled to sum to 1 over it.

    Returns
    -------
    xr.DataArray
        `thought` gives way to `measure`: the entropy in nats, its exponential (the effective
        number of thoughts: between 1 and their count) and the largest share. NaN where the shares
        are, or where they are all 0.

    Examples
    --------
    >>> even = xr.DataArray([0.25, 0.25, 0.25, 0.25], dims="thought")
    >>> concentration_of(even).sel(measure=["effective_number", "largest_share"]).values
    array([4.  , 0.25])
    """
    require_dims(shares, ("thought",), "Concentration")
    if bool((shares < 0).any()):
        raise ValueError("Shares must not be negative: concentration is of parts of a whole.")
    total = shares.sum("thought", skipna=False)
    parts = shares / total.where(total > 0)
    entropy = -xr.apply_ufunc(xlogy, parts, parts).sum("thought", skipna=False)
    measured = [entropy, np.exp(entropy), parts.max("thought", skipna=False)]
    along = xr.DataArray(list(MEASURES), dims="measure", name="measure")
    result: xr.DataArray = xr.concat(measured, dim=along)
    return result.rename("concentration")


def concentration(shares: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    """Average the concentration of each problem's shares over problems.

    Parameters
    ----------
    shares
        (problem, thought[, layer, head]), for instance from `share`.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high`, `n_problems` over (measure[, layer, head]). Average heads first
        for the concentration of the mean head; average the result over heads for that of a head.

    See Also
    --------
    importance_concentration
    """
    require_dims(shares, ("problem", "thought"), "Concentration")
    return mean_over_problems(concentration_of(shares), confidence=confidence)
