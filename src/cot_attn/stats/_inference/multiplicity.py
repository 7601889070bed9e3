"""Adjusting p values for the number of tests that were made together."""

import numpy as np
from jaxtyping import Float
from scipy.stats import false_discovery_control


def benjamini_hochberg(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Turn p values into q values, over all of the array; NaN (no test was made) stays NaN.

    Source: Benjamini and Hochberg (1995), "Controlling the false discovery rate", JRSS B 57.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    q = np.full(np.shape(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def holm(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Adjust p values so that the chance of any false positive stays below the level.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan]))
    array([0.02, 0.04,  nan])
    """
    adjusted = np.full(np.shape(p), np.nan)
    tested = np.isfinite(p)
    ordered = np.sort(p[tested])
    steps = ordered * np.arange(len(ordered), 0, -1)
    back = np.argsort(np.argsort(p[tested], kind="stable"), kind="stable")
    adjusted[tested] = np.minimum(np.maximum.accumulate(steps), 1.0)[back]
    return adjusted
