"""Which layers, heads and thoughts are meant."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any, SupportsIndex

import numpy as np
from torch import Tensor

Indices = SupportsIndex | Iterable[SupportsIndex]


def indices(kind: str, numbers: object) -> tuple[int, ...]:
    """Return one index or several as whole numbers of Python, in the order given.

    Parameters
    ----------
    kind
        What they count, such as `"layer"`, for the message.
    numbers
        A whole number of any type, or an iterable of them: a list, a range, an array, a tensor.

    Raises
    ------
    TypeError
        Where anything is no whole number. True, 2.0 and "2" are none.

    Examples
    --------
    >>> indices("thought", np.int64(2)), indices("layer", range(3))
    ((2,), (0, 1, 2))
    """
    several: object = numbers.tolist() if isinstance(numbers, np.ndarray | Tensor) else numbers
    listed: list[Any] = list(several) if isinstance(several, Iterable) else [several]
    wrong = [each for each in listed if not isinstance(each, Integral) or isinstance(each, bool)]
    if wrong or isinstance(numbers, str | bytes | dict):
        each = wrong[0] if wrong else numbers
        raise TypeError(
            f"{kind}s are {numbers!r}; {each!r} is no whole number. Give one {kind} or several as "
            "whole numbers, such as 2, [0, 2] or range(3)."
        )
    return tuple(int(each) for each in listed)


def selected(kind: str, chosen: Indices | None, count: int) -> list[int]:
    """Return chosen indices in order, or all of them; raise where one does not exist.

    Raises
    ------
    TypeError
        Where one is no whole number.
    ValueError
        Where one does not exist or is named twice, or where there is none.

    Examples
    --------
    >>> selected("layer", None, 3)
    [0, 1, 2]
    >>> selected("layer", [-1, 0], 3)
    [0, 2]
    """
    if chosen is None:
        return list(range(count))
    asked = indices(kind, chosen)
    places = [index + count if index < 0 else index for index in asked]
    outside = [index for index in places if not 0 <= index < count]
    if outside or not places:
        raise ValueError(
            f"{kind}s are {list(asked)}; this model has {kind}s 0 to {count - 1} (negative "
            "numbers count from the end). Give at least one of them, or None for all."
        )
    if len(set(places)) < len(places):
        raise ValueError(f"{kind}s are {list(asked)}; give each {kind} once.")
    return sorted(places)
