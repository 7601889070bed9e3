"""Which thought each head prefers, and how sure that is."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from cot_attn.stats.intervals import mean_interval
from cot_attn.stats.labels import as_values, require_dims
from cot_attn.stats.resampling import bootstrap_weights, canonical_order, how_often_largest
from cot_attn.stats.sample_size import with_warnings
from cot_attn.stats.settings import require_resamples


def specialisation(
    shares: xr.DataArray, *, confidence: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> xr.Dataset:
    """Find the thought that gets the largest mean share of each head's attention.

    Parameters
    ----------
    shares
        (problem, thought, layer, head), from `share`; any dimensions beside the first two.

    Returns
    -------
    xr.Dataset
        Over (layer, head): `thought`, its mean share `estimate`
        with `low` and `high`, the `margin` over the runner-up with `margin_low` and `margin_high`,
        `certainty` (in what part of bootstrap resamples of the problems the same thought comes
        out first) and `n_problems`. An interval of the margin that holds 0 means that the
        preference is not settled.
    """
    require_dims(shares, ("problem", "thought"), "Specialisation")
    require_resamples(n_resamples)
    if shares.sizes["thought"] < 2:
        raise ValueError("With one thought there is nothing to prefer.")
    rest: list[Hashable] = [dim for dim in shares.dims if dim not in ("problem", "thought")]
    values = as_values(shares)
    values = values[np.isfinite(values).all(axis=(1, 2))]
    values = values[canonical_order(values)]
    shape = [shares.sizes[dim] for dim in rest]
    coords = {dim: shares.coords[dim] for dim in rest if dim in shares.coords}
    n = len(values)
    if n == 0:
        raise ValueError("No problem has shares in all layers and heads. Are the rows NaN?")

    means = values.mean(axis=0)
    first, second = np.argsort(-means, axis=0, kind="stable")[:2]
    series = np.arange(values.shape[2])
    favourite, runner_up = values[:, first, series], values[:, second, series]
    low, high = mean_interval(favourite, confidence)
    margin_low, margin_high = mean_interval(favourite - runner_up, confidence)
    weights = bootstrap_weights(n, n_resamples, seed)
    resampled = (weights @ values.reshape(n, -1)).reshape(n_resamples, *values.shape[1:])
    certainty = how_often_largest(resampled, first)
    found = {
        "thought": shares["thought"].values[first],
        "estimate": favourite.mean(axis=0),
        "low": low,
        "high": high,
        "margin": (favourite - runner_up).mean(axis=0),
        "margin_low": margin_low,
        "margin_high": margin_high,
        "certainty": certainty,
        "n_problems": np.full(first.shape, n),
    }
    result = xr.Dataset(
        {name: (rest, numbers.reshape(shape)) for name, numbers in found.items()},
        coords=coords,
        attrs={
            "method": "mean share over problems, skewness-corrected t; certainty by bootstrap",
            "confidence": confidence,
            "n_resamples": n_resamples,
            "seed": seed,
        },
    )
    return with_warnings(result)
