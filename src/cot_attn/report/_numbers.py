"""How numbers are written on the page: fractions as percent, correlations with a true minus."""

from collections.abc import Iterable, Iterator

import numpy as np
import xarray as xr

from cot_attn.plots._units import short, signed


def each(result: xr.Dataset, dim: str) -> Iterator[tuple[object, xr.Dataset]]:
    """Yield each label of a dimension with what belongs to it."""
    for label in result[dim].values:
        yield label, result.sel({dim: label})


def percent(fraction: object) -> str:
    """Write a fraction as percent, without the sign.

    Examples
    --------
    >>> [percent(value) for value in (0.749, 0.0123, float("nan"))]
    ['75', '1.2', 'n/a']
    """
    return short(100 * float(fraction))  # type: ignore[arg-type]


def percent_interval(result: xr.Dataset) -> str:
    """Write the interval of a fraction as percent: `72 to 77`."""
    return f"{percent(result['low'])} to {percent(result['high'])}"


def correlation(value: object, digits: int = 2) -> str:
    """Write a correlation."""
    return signed(float(value), digits)  # type: ignore[arg-type]


def correlation_interval(result: xr.Dataset) -> str:
    """Write the interval of a correlation, or `n/a` where there is none."""
    if not np.isfinite(result["low"]):
        return "n/a"
    return f"{correlation(result['low'])} to {correlation(result['high'])}"


def tail(value: object) -> str:
    """Write a p or q value.

    Examples
    --------
    >>> tail(0.0123), tail(0.0004), tail(float("nan"))
    ('0.012', '< 0.001', 'n/a')
    """
    number = float(value)  # type: ignore[arg-type]
    if np.isnan(number):
        return "n/a"
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def equals(value: object) -> str:
    """Write a p or q value as it stands behind its letter: `= 0.012` or `< 0.001`."""
    written = tail(value)
    sign = "" if written.startswith("<") else "=\N{NO-BREAK SPACE}"
    return sign + written.replace(" ", "\N{NO-BREAK SPACE}")


def listed(words: Iterable[object]) -> str:
    """Join words as in a sentence.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last
