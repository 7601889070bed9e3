"""Numbers as text: two characters each, in steps that the page names."""

import math

import numpy as np
from jaxtyping import Float, Integer

LETTERS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", dtype=np.uint8
)
STEPS = 4000
"""Into how many steps 0 to 1 is divided; as ranks, the greatest that is told exactly."""
MORE, MISSING = 4094, 4095


def packed(numbers: Integer[np.ndarray, "..."]) -> str:
    """Write integers from 0 to 4095 as two characters of base 64 each.

    Examples
    --------
    >>> packed(np.array([0, 1, 64, 4095]))
    'AAABBA//'
    """
    flat = np.asarray(numbers).ravel()
    return LETTERS[np.stack([flat >> 6, flat & 63], axis=-1)].tobytes().decode("ascii")


def fractions(values: Float[np.ndarray, "..."]) -> str:
    """Write fractions to the nearest of `STEPS` steps; NaN as `MISSING`.

    Examples
    --------
    >>> fractions(np.array([0.25, np.nan])) == packed(np.array([1000, MISSING]))
    True
    """
    finite = np.isfinite(values)
    whole = np.rint(STEPS * np.where(finite, values, 0)).astype(int)
    return packed(np.where(finite, whole, MISSING))


def ranks(values: Float[np.ndarray, "..."]) -> str:
    """Write ranks, those above `STEPS` as `MORE`; NaN as `MISSING`.

    Examples
    --------
    >>> ranks(np.array([1.0, 50257.0, np.nan])) == packed(np.array([1, MORE, MISSING]))
    True
    """
    finite = np.isfinite(values)
    whole = np.rint(np.where(finite, values, 0)).astype(int)
    return packed(np.where(finite, np.where(whole > STEPS, MORE, whole), MISSING))


def short_number(value: float) -> float | None:
    """Return a number with three significant digits, or None where it is not finite.

    Examples
    --------
    >>> short_number(0.123456), short_number(float("nan"))
    (0.123, None)
    """
    return float(f"{value:.3g}") if math.isfinite(value) else None
