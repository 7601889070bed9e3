"""How concentrated importance is: on one thought, or spread over all."""

from collections.abc import Hashable

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.stats.concentration import MEASURES, measures
from cot_attn.stats.inference import FEWEST_PROBLEMS, REASON_DTYPE
from cot_attn.stats.intervals import leave_one_out_interval
from cot_attn.stats.labels import as_values, require_dims
from cot_attn.stats.sample_size import with_warnings

PerSeries = Float[np.ndarray, " series"]


def profile_concentration(values: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    """Measure how concentrated the thoughts' means are, over problems.

    Importance is a rate: one problem has none, only many have. So the profile of means is what is
    measured, where `concentration` measures each problem's own shares.

    Parameters
    ----------
    values
        (problem, thought, ...), not negative, for instance `effects.failed.mean("corruption")`.
        Problems with a missing value are left out.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high`, `n_problems`, `reason` over (measure, ...). A profile measured on
        few problems looks more concentrated than it is; the interval reaches from what was measured
        to what it would be without that bias, and as far again on either side as chance explains.
        For the largest share it is simultaneous over the thoughts, since the largest was picked.
    """
    require_dims(values, ("problem", "thought"), "The concentration of a profile")
    if bool((values < 0).any()):
        raise ValueError("Negative values have no concentration; use a rate, such as `failed`.")
    data = as_values(values)
    data = data[np.isfinite(data).all(axis=(1, 2))]
    n_problems, _, n_series = data.shape
    estimate, low, high = (np.full((len(MEASURES), n_series), np.nan) for _ in range(3))
    reason = np.full(estimate.shape, "", dtype=REASON_DTYPE)
    if n_problems < FEWEST_PROBLEMS:
        reason[:] = f"only {n_problems} complete problems; at least {FEWEST_PROBLEMS} are needed"
    else:
        # Sorted by thought's own rows the sums are the same in any order of the problems.
        total = np.sort(data, axis=0).sum(axis=0)
        empty = total.sum(axis=0) == 0
        profile, left_out = _shares(total), _shares(total[None] - data)
        estimate = measures(profile)
        low[:2], high[:2] = _bounds_of_spread(profile, left_out, confidence)
        low[2], high[2] = _bounds_of_largest(profile, left_out, confidence)
        reason[~np.isfinite(low)] = "no interval: without one of the problems all values are 0"
        reason[:, empty] = "all values are 0"
        estimate, low, high = (np.where(empty, np.nan, x) for x in (estimate, low, high))
    rest: list[Hashable] = [dim for dim in values.dims if dim not in ("problem", "thought")]
    shape = (len(MEASURES), *(values.sizes[dim] for dim in rest))
    dims: list[Hashable] = ["measure", *rest]
    coords = {dim: values.coords[dim] for dim in rest if dim in values.coords}
    result = xr.Dataset(
        {
            "estimate": (dims, estimate.reshape(shape)),
            "low": (dims, low.reshape(shape)),
            "high": (dims, high.reshape(shape)),
            "n_problems": (dims, np.full(shape, n_problems)),
            "reason": (dims, reason.reshape(shape)),
        },
        coords={"measure": list(MEASURES), **coords},
        attrs={"method": "leave one problem out, both ways of its bias", "confidence": confidence},
    )
    return with_warnings(result)


def _shares(totals: Float[np.ndarray, "*sample thought series"]) -> np.ndarray:
    whole = totals.sum(axis=-2, keepdims=True)
    nothing = np.full(totals.shape, np.nan)
    shares: np.ndarray = np.divide(totals, whole, out=nothing, where=whole > 0)
    return shares


def _bounds_of_spread(
    profile: Float[np.ndarray, "thought series"],
    left_out: Float[np.ndarray, "problem thought series"],
    confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Bound entropy and effective number; both (2, series)."""
    n = len(left_out)
    entropy = measures(profile)[0]
    entropy_left_out = measures(left_out)[0]
    unbiased = n * entropy - (n - 1) * entropy_left_out.mean(axis=0)
    lower, _ = leave_one_out_interval(np.minimum(entropy, unbiased), entropy_left_out, confidence)
    _, upper = leave_one_out_interval(np.maximum(entropy, unbiased), entropy_left_out, confidence)
    bounds = [np.clip(bound, 0, np.log(len(profile))) for bound in (lower, upper)]
    low, high = (np.stack([bound, np.exp(bound)]) for bound in bounds)
    return low, high


def _bounds_of_largest(
    profile: Float[np.ndarray, "thought series"],
    left_out: Float[np.ndarray, "problem thought series"],
    confidence: float,
) -> tuple[PerSeries, PerSeries]:
    """Bound every thought's share at once (Bonferroni); the largest lies between the largest."""
    n_thoughts = len(profile)
    each = 1 - (1 - confidence) / n_thoughts
    low, high = leave_one_out_interval(profile, left_out, each)
    return low.max(axis=0).clip(1 / n_thoughts, 1), high.max(axis=0).clip(1 / n_thoughts, 1)
