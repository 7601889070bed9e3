"""How few thoughts attention, or importance, gathers on."""

import numpy as np
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from scipy.special import xlogy

from cot_attn.stats._arguments import require_array, require_not_negative
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.correlation import FEWEST_PROBLEMS, REASON_DTYPE
from cot_attn.stats._inference.intervals import leave_one_out_interval
from cot_attn.stats._labelled.layout import as_values, complete_problems, other_dims, unfold
from cot_attn.stats._labelled.thoughts import tell_of_shorter
from cot_attn.stats.averages import mean_over_problems

PerSeries = Float[np.ndarray, " series"]

MEASURES = ("entropy", "effective_number", "largest_share")


def concentration_per_problem(shares: xr.DataArray) -> xr.DataArray:
    """Measure how concentrated each set of shares is.

    Parameters
    ----------
    shares
        Non-negative, with a `thought` dimension; scaled to sum to 1 over it.

    Returns
    -------
    xr.DataArray
        `thought` gives way to `measure`: the entropy in nats, its exponential (the effective
        number of thoughts: between 1 and their count) and the largest share, over the thoughts
        that a problem has. NaN where all shares are, or where they are all 0.

    Examples
    --------
    >>> even = xr.DataArray([0.25, 0.25, 0.25, 0.25], dims="thought")
    >>> concentration_per_problem(even).sel(measure=["effective_number", "largest_share"]).values
    array([4.  , 0.25])
    """
    require_array(shares, ("thought",), "Concentration", name="shares")
    require_not_negative(shares, "Concentration is of parts of a whole: see stats.share.")
    total = shares.sum("thought", min_count=1)
    measured: xr.DataArray = xr.apply_ufunc(
        lambda profiles: rearrange(measures(profiles[..., None]), "measure ... 1 -> ... measure"),
        (shares / total).fillna(0).where(total > 0),
        input_core_dims=[["thought"]],
        output_core_dims=[["measure"]],
    )
    labelled = measured.assign_coords(measure=list(MEASURES)).transpose("measure", ...)
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
    importance_concentration : of the thoughts' means, for importance.

    Examples
    --------
    >>> shares = xr.DataArray([[1.0, 0.0], [0.5, 0.5]], dims=("problem", "thought"))
    >>> float(concentration(shares).estimate.sel(measure="effective_number"))
    1.5
    """
    require_array(shares, ("problem", "thought"), "Concentration", name="shares")
    return mean_over_problems(concentration_per_problem(shares), confidence=confidence)


def importance_concentration(values: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
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

    See Also
    --------
    concentration : of each problem's shares, for attention.

    Examples
    --------
    >>> failed = xr.DataArray([[1.0, 1.0, 0.0, 0.0]] * 8, dims=("problem", "thought"))
    >>> float(importance_concentration(failed).estimate.sel(measure="effective_number"))
    2.0
    """
    require_array(values, ("problem", "thought"), "The concentration of a profile")
    require_not_negative(values, "Concentration is of a rate, such as `failed`.")
    tell_of_shorter("The concentration of a profile", values)
    data = as_values(values)
    data = data[complete_problems(data)]
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
    figures = {
        "estimate": estimate,
        "low": low,
        "high": high,
        "n_problems": np.full(estimate.shape, n_problems),
        "reason": reason,
    }
    result = unfold(figures, ["measure"], other_dims(values, "problem", "thought"), values)
    return with_warnings(
        result.assign_coords(measure=list(MEASURES)).assign_attrs(
            method="leave one problem out, both ways of its bias", confidence=confidence
        )
    )


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
