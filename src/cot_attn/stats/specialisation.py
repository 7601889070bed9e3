"""Which thought each head prefers, and how sure that is."""

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import (
    require_array,
    require_confidence,
    require_resamples,
    require_several,
)
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.intervals import mean_interval
from cot_attn.stats._inference.resampling import (
    bootstrap_weights,
    canonical_order,
    how_often_largest,
)
from cot_attn.stats._labelled.layout import as_values, complete_problems, other_dims, unfold
from cot_attn.stats._labelled.thoughts import tell_of_shorter


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

    Examples
    --------
    >>> shares = xr.DataArray([[[0.2], [0.8]]] * 5, dims=("problem", "thought", "head"))
    >>> result = specialisation(shares.assign_coords(thought=[0, 1]))
    >>> int(result.thought[0]), float(result.margin[0]), float(result.certainty[0])
    (1, 0.6, 1.0)
    """
    require_array(shares, ("problem", "thought"), "Specialisation", name="shares")
    require_resamples(n_resamples)
    require_confidence(confidence)
    require_several(shares, "thought", "there is nothing to prefer")
    tell_of_shorter("Specialisation", shares)
    values = as_values(shares)
    values = values[complete_problems(values)]
    values = values[canonical_order(values)]
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
    resampled = np.tensordot(weights, values, axes=1)
    certainty = how_often_largest(resampled, first)
    figures = {
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
    result = unfold(figures, [], other_dims(shares, "problem", "thought"), shares)
    return with_warnings(
        result.assign_attrs(
            method="mean share over problems, skewness-corrected t; certainty by bootstrap",
            confidence=confidence,
            n_resamples=n_resamples,
            seed=seed,
        )
    )
