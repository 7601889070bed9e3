"""How few thoughts attention, or importance, gathers on."""

import numpy as np
import xarray as xr
from jaxtyping import Float
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
    measured: xr.DataArray = xr.apply_ufunc(
        lambda parts: np.moveaxis(measures(parts[..., None])[..., 0], 0, -1),
        shares / total.where(total > 0),
        input_core_dims=[["thought"]],
        output_core_dims=[["measure"]],
    )
    kept = [dim for dim in shares.dims if dim != "thought"]
    labelled = measured.assign_coords(measure=list(MEASURES)).transpose("measure", *kept)
    return labelled.rename("concentration")


def measures(
    shares: Float[np.ndarray, "*sample thought series"],
) -> Float[np.ndarray, "measure *sample series"]:
    """Compute entropy, effective number and largest share of shares that sum to 1."""
    entropy = 0.0 - xlogy(shares, shares).sum(axis=-2)  # 0.0 - 0.0 is not -0.0
    return np.stack([entropy, np.exp(entropy), shares.max(axis=-2)])


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
    profile_concentration : of the thoughts' means, for importance.
    """
    require_dims(shares, ("problem", "thought"), "Concentration")
    return mean_over_problems(concentration_of(shares), confidence=confidence)
