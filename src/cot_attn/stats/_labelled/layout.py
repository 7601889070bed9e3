"""Labelled arrays as problems × thoughts × series, and what was computed from them laid out again.

A series is one label of each further dimension: a layer, or one head of a layer.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped

Values = Float[np.ndarray, "problem thought #series"]  # failure has one series, for all


def other_dims(array: xr.DataArray, *named: Hashable) -> list[Hashable]:
    """List an array's dimensions but for the named ones, in the array's order."""
    return [dim for dim in array.dims if dim not in named]


def as_values(array: xr.DataArray) -> Values:
    """Lay an array out as problems × thoughts × everything else, in double precision."""
    ordered = array.transpose("problem", "thought", ...).values.astype(np.float64)
    values: np.ndarray = rearrange(ordered, "problem thought ... -> problem thought (...)")
    return values


def complete_problems(*arrays: Values) -> Bool[np.ndarray, " problem"]:
    """Say which problems miss no value in any of the arrays."""
    finite = [np.isfinite(values).all(axis=(1, 2)) for values in arrays]
    complete: np.ndarray = np.all(finite, axis=0)
    return complete


def series_by_presence(
    values: Float[np.ndarray, "problem series"],
) -> Iterator[tuple[Bool[np.ndarray, " problem"], Int[np.ndarray, " column"]]]:
    """Go through the series in groups that lack the same problems: as a rule there is one group.

    Yields
    ------
    Which problems are present, and the columns of the series in which these are.
    """
    if values.shape[1] == 0:
        return
    patterns, which = np.unique(np.isfinite(values).T, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        yield pattern, np.flatnonzero(which == index)


def unfold(
    figures: Mapping[str, Shaped[np.ndarray, "*leading series"]],
    leading: Sequence[Hashable],
    folded: Sequence[Hashable],
    like: xr.DataArray,
) -> xr.Dataset:
    """Lay figures out over the dimensions that were folded into series.

    Parameters
    ----------
    figures
        By name, each with the series last.
    leading
        The dimensions before the series.
    folded
        The dimensions that the series stand for, the last one changing fastest.
    like
        The array that the figures were computed from: it has the folded dimensions' sizes, and the
        labels.
    """
    dims = [*leading, *folded]
    sizes = [like.sizes[dim] for dim in folded]
    return xr.Dataset(
        # The folded dimensions have the data's own names, which no einops pattern can list.
        {
            name: (dims, array.reshape((*array.shape[:-1], *sizes)))
            for name, array in figures.items()
        },
        coords={dim: like.coords[dim] for dim in dims if dim in like.coords},
    )
