"""The least-squares line through attention and failure, with a band that resamples problems."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.stats.labels import join_by_label, require_dims
from cot_attn.stats.resampling import bootstrap_weights, canonical_order
from cot_attn.stats.settings import require_confidence

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
    """
    require_confidence(confidence)
    require_dims(shares, ("problem", "layer", "thought"), "A fitted line")
    require_dims(failure, ("problem", "thought"), "A fitted line")
    looked, broken = join_by_label(shares, failure)
    x = looked.transpose("problem", "thought", "layer").values.astype(np.float64)
    y = broken.transpose("problem", "thought").values.astype(np.float64)[:, :, None]
    complete = np.isfinite(x).all(axis=(1, 2)) & np.isfinite(y).all(axis=(1, 2))
    x, y = x[complete], y[complete]
    at = np.linspace(x.min(), x.max(), N_POINTS) if x.size else np.full(N_POINTS, np.nan)
    lines = np.full((3, x.shape[2], N_POINTS), np.nan)
    if len(x) > 1:
        in_order = canonical_order(y, x)
        x, y = x[in_order], y[in_order]
        tails = ((1 - confidence) / 2, (1 + confidence) / 2)
        each = np.full((1, len(x)), 1 / len(x))
        lines[0] = _lines(x, y, each, at)[0]
        resampled = _lines(x, y, bootstrap_weights(len(x), n_resamples, seed), at)
        lines[1:] = np.nanquantile(resampled, tails, axis=0)
        low, high = x.min(axis=(0, 1))[:, None], x.max(axis=(0, 1))[:, None]
        lines[:, (at < low) | (at > high) | (high - low < 1e-9)] = np.nan
    dims = ("layer", "share")
    names = ("estimate", "low", "high")
    return xr.Dataset(
        {name: (dims, values) for name, values in zip(names, lines, strict=True)},
        coords={"layer": looked["layer"].values, "share": at},
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
    at: Float[np.ndarray, " point"],
) -> Float[np.ndarray, "resample layer point"]:
    """Fit a line for every set of weights and evaluate it."""
    mean_x, mean_y, mean_xx, mean_xy = (
        weights @ moment.mean(axis=1) for moment in (x, y, x * x, x * y)
    )
    spread = mean_xx - mean_x**2
    flat = spread <= 1e-14
    slope = np.divide(mean_xy - mean_x * mean_y, spread, out=np.zeros_like(spread), where=~flat)
    lines: np.ndarray = mean_y[:, :, None] + slope[:, :, None] * (at - mean_x[:, :, None])
    return lines
