"""The least-squares line through attention and failure, with a band that resamples problems."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.stats._arguments import require_array, require_confidence, require_resamples
from cot_attn.stats._inference.resampling import bootstrap_weights, canonical_order
from cot_attn.stats._labelled.labels import join_by_label
from cot_attn.stats._labelled.layout import as_values, complete_problems
from cot_attn.stats._labelled.thoughts import tell_of_shorter

N_POINTS = 60


def fitted_line(
    shares: xr.DataArray,
    failure: xr.DataArray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Fit failure as a straight line in attention, at each layer, through all points.

    It describes the cloud of points and mixes what lies between thoughts with what lies within
    problems; `correlate` keeps the two apart.

    Parameters
    ----------
    shares
        (problem, layer, thought), from `share`, averaged over heads.
    failure
        (problem, thought). Problems with a missing value in either are left out.
    confidence
        Of the band. Problems are resampled, so that the thoughts of one stay together.
    n_resamples, seed
        Of the bootstrap.

    Returns
    -------
    xr.Dataset
        `estimate`, `low` and `high` over (layer, share), at shares from the smallest to the
        greatest of all layers; NaN outside a layer's own range, and where its shares are constant.

    Raises
    ------
    ValueError
        If dimensions are missing or labels differ.

    Examples
    --------
    >>> labels = {"problem": list("abc"), "layer": [4], "thought": [0, 1]}
    >>> shares = xr.DataArray([[[0.2, 0.8]], [[0.4, 0.6]], [[0.5, 0.5]]], labels, tuple(labels))
    >>> failure = 1 - shares.sel(layer=4, drop=True)
    >>> fitted_line(shares, failure).estimate.sel(layer=4)[[0, -1]].values
    array([0.8, 0.2])
    """
    require_confidence(confidence)
    require_resamples(n_resamples)
    require_array(shares, ("problem", "layer", "thought"), "A fitted line", name="shares")
    require_array(failure, ("problem", "thought"), "A fitted line", name="failure")
    looked, broken = join_by_label(shares, failure)
    tell_of_shorter("A fitted line", looked, broken)
    x, y = as_values(looked), as_values(broken)
    complete = complete_problems(x, y)
    x, y = x[complete], y[complete]
    grid = np.linspace(x.min(), x.max(), N_POINTS) if x.size else np.full(N_POINTS, np.nan)
    lines = np.full((3, x.shape[2], N_POINTS), np.nan)
    if len(x) > 1:
        in_order = canonical_order(y, x)
        x, y = x[in_order], y[in_order]
        tails = ((1 - confidence) / 2, (1 + confidence) / 2)
        each = np.full((1, len(x)), 1 / len(x))
        lines[0] = _lines(x, y, each, grid)[0]
        resampled = _lines(x, y, bootstrap_weights(len(x), n_resamples, seed), grid)
        lines[1:] = np.nanquantile(resampled, tails, axis=0)
        low, high = x.min(axis=(0, 1))[:, None], x.max(axis=(0, 1))[:, None]
        lines[:, (grid < low) | (grid > high) | (high - low < 1e-9)] = np.nan
    dims = ("layer", "share")
    names = ("estimate", "low", "high")
    return xr.Dataset(
        {name: (dims, values) for name, values in zip(names, lines, strict=True)},
        coords={"layer": looked["layer"].values, "share": grid},
        attrs={
            "method": "least squares through all points; percentile bootstrap over problems",
            "confidence": confidence,
            "n_resamples": n_resamples,
            "seed": seed,
            "n_problems": len(x),
        },
    )


def _lines(
    x: Float[np.ndarray, "problem thought layer"],
    y: Float[np.ndarray, "problem thought 1"],
    weights: Float[np.ndarray, "resample problem"],
    grid: Float[np.ndarray, " point"],
) -> Float[np.ndarray, "resample layer point"]:
    """Fit a line for every set of weights and evaluate it."""
    mean_x, mean_y, mean_xx, mean_xy = (
        weights @ moment.mean(axis=1) for moment in (x, y, x * x, x * y)
    )
    spread = mean_xx - mean_x**2
    flat = spread <= 1e-14
    slope = np.divide(mean_xy - mean_x * mean_y, spread, out=np.zeros_like(spread), where=~flat)
    lines: np.ndarray = mean_y[:, :, None] + slope[:, :, None] * (grid - mean_x[:, :, None])
    return lines
