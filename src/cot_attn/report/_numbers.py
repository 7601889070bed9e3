"""How numbers are written on the page: fractions as percent, correlations with a true minus."""

from collections.abc import Iterable, Iterator
from typing import SupportsFloat

import numpy as np
import xarray as xr

from cot_attn.plots._units import short, signed


def each(result: xr.Dataset, dim: str) -> Iterator[tuple[object, xr.Dataset]]:
    """Yield each label of a dimension with what belongs to it."""
    for label in result[dim].values:
        yield label, result.sel({dim: label})


def percent(fraction: SupportsFloat) -> str:
    """Write a fraction as percent, without the sign.

    Examples
    --------
    >>> [percent(value) for value in (0.749, 0.0123, float("nan"))]
    ['75', '1.2', 'n/a']
    """
    return short(100 * float(fraction))


def percent_interval(result: xr.Dataset) -> str:
    """Write the interval of a fraction as percent: `72 to 77`."""
    return f"{percent(result['low'])} to {percent(result['high'])}"


def correlation(value: SupportsFloat, digits: int = 2) -> str:
    """Write a correlation."""
    return signed(float(value), digits)


def correlation_interval(result: xr.Dataset) -> str:
    """Write the interval of a correlation, or `n/a` where there is none."""
    if not np.isfinite(result["low"]):
        return "n/a"
    return f"{correlation(result['low'])} to {correlation(result['high'])}"


def tail(value: SupportsFloat) -> str:
    """Write a p or q value.

    Examples
    --------
    >>> tail(0.0123), tail(0.0004), tail(float("nan"))
    ('0.012', '< 0.001', 'n/a')
    """
    number = float(value)
    if np.isnan(number):
        return "n/a"
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def floor(result: xr.Dataset) -> float:
    """Return the smallest p that a result's test could give; 0 where all orders were listed.

    A two-sided test doubles the smaller tail, and one of random signs counts both in one.
    """
    test = str(result.attrs.get("test", ""))
    if "n_resamples" not in result.attrs or test.endswith("labels") or "McNemar" in test:
        return 0.0
    return (1 if "signs" in test else 2) / (int(result.attrs["n_resamples"]) + 1)


def corrected(result: xr.Dataset, name: str, smallest: float) -> str:
    """Write a p, a q or Holm's p, as "at most" where p is the least that resamples allow.

    Parameters
    ----------
    result
        One figure, with its `p`.
    name
        Which to write: "p", "q" or "p_holm".
    smallest
        See `floor`.

    Examples
    --------
    >>> corrected(xr.Dataset({"p": 0.001, "q": 0.003}), "q", smallest=0.001)
    '≤ 0.003'
    """
    written = tail(result[name])
    at_floor = smallest > 0 and float(result["p"]) <= smallest * (1 + 1e-9)
    return f"\N{LESS-THAN OR EQUAL TO} {written}" if at_floor and "<" not in written else written


def behind(written: str) -> str:
    """Write what `tail` or `corrected` gave as it stands behind its letter."""
    sign = "" if written[0] in "<\N{LESS-THAN OR EQUAL TO}" else "= "
    return sign + written.replace(" ", " ")


def equals(value: SupportsFloat) -> str:
    """Write a p or q value as it stands behind its letter: `= 0.012` or `< 0.001`."""
    return behind(tail(value))


def listed(words: Iterable[object]) -> str:
    """Join words as in a sentence.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last
