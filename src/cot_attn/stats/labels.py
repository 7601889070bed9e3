"""Joining arrays by their labels, and saying what is wrong with those that cannot be joined."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

Join = Literal["exact", "inner"]


def as_array(data: xr.DataArray | xr.Dataset, name: str) -> xr.DataArray:
    """Take the named variable out of a data set; an array is handed back as it is."""
    if isinstance(data, xr.DataArray):
        return data
    if isinstance(data, xr.Dataset):
        if name in data:
            return data[name]
        raise KeyError(
            f"The data set has no variable {name!r}; it has {sorted(map(str, data.data_vars))}. "
            "Hand over the array you mean."
        )
    raise TypeError(
        f"Expected an xarray DataArray, or a Dataset with {name!r}; got {type(data).__name__}."
    )


def require_dims(array: xr.DataArray, dims: Sequence[str], what: str) -> None:
    """Raise where an array lacks a dimension that a statistic needs, or has a problem twice."""
    missing = [dim for dim in dims if dim not in array.dims]
    if missing:
        raise ValueError(
            f"{what} needs the dimensions {tuple(dims)}; this array has {array.dims} "
            f"(without {missing}). Rename a dimension with .rename(...)."
        )
    if "problem" in array.indexes:
        _require_unique_labels(array, "problem", what)


def join_by_label(
    left: xr.DataArray,
    right: xr.DataArray,
    *,
    join: Join = "exact",
    names: tuple[str, str] = ("attention", "failure"),
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bring two arrays to the same labels, in the same order, along the dimensions they share.

    Parameters
    ----------
    join
        "exact" raises where the labels are not the same set. "inner" keeps the problems that both
        have; the other dimensions must still agree.

    Raises
    ------
    ValueError
        If labels are missing, repeated, or differ.

    Examples
    --------
    >>> one = xr.DataArray([1.0, 2.0], dims="problem", coords={"problem": ["a", "b"]})
    >>> two = xr.DataArray([20.0, 10.0], dims="problem", coords={"problem": ["b", "a"]})
    >>> join_by_label(one, two)[1].values
    array([10., 20.])
    """
    if join not in ("exact", "inner"):
        raise ValueError(f"join={join!r} is not known. Use 'exact' or 'inner'.")
    shared = [dim for dim in left.dims if dim in right.dims]
    for dim in shared:
        for array, name in zip((left, right), names, strict=True):
            _require_unique_labels(array, dim, name)
        ours, theirs = left.indexes[dim], right.indexes[dim]
        only_ours, only_theirs = ours.difference(theirs), theirs.difference(ours)
        differ = len(only_ours) > 0 or len(only_theirs) > 0
        if differ and not (join == "inner" and dim == "problem"):
            advice = "Pass join='inner' to use those that both have." if dim == "problem" else ""
            if set(map(str, ours)) & set(map(str, only_theirs)):
                kinds = f"{type(ours[0]).__name__} and {type(theirs[0]).__name__}"
                advice = f"Some look alike, but are {kinds}: give both the same type."
            raise ValueError(
                f"{names[0]} and {names[1]} do not have the same labels along {dim!r}: "
                f"{len(only_ours)} only in {names[0]} {_some(only_ours)}, "
                f"{len(only_theirs)} only in {names[1]} {_some(only_theirs)}. {advice}".strip()
            )
        keep = [label for label in ours if label in theirs] if differ else list(ours)
        if not keep:
            raise ValueError(f"{names[0]} and {names[1]} have no {dim} in common.")
        left, right = left.sel({dim: keep}), right.sel({dim: keep})
    return left, right


def _require_unique_labels(array: xr.DataArray, dim: Hashable, name: str) -> None:
    if dim not in array.indexes:
        raise ValueError(
            f"{name} has no labels along {dim!r}, so it cannot be joined by label. "
            f"Add them: .assign_coords({dim}=...)."
        )
    index = array.indexes[dim]
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        raise ValueError(
            f"{name} has repeated labels along {dim!r}: {_some(repeated)}. Each may occur once: "
            f"see .drop_duplicates({dim!r})."
        )


def _some(labels: "pd.Index[Any]") -> str:
    listed = [str(label) for label in list(labels)[:3]]
    return f"({', '.join(listed)}{', ...' if len(labels) > 3 else ''})" if listed else ""


def problem_coordinate(name: str, *arrays: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Find a coordinate along the problems, such as the difficulty, in the first that has it."""
    for array in arrays:
        if name in array.coords and array.coords[name].dims == ("problem",):
            return array.coords[name]
    known = sorted(
        {str(c) for array in arrays for c, v in array.coords.items() if v.dims == ("problem",)}
    )
    raise KeyError(f"There is no problem coordinate {name!r}. There are: {known}.")


def as_values(array: xr.DataArray) -> Float[np.ndarray, "problem thought series"]:
    """Lay an array out as problems × thoughts × everything else, in double precision."""
    rest = [dim for dim in array.dims if dim not in ("problem", "thought")]
    ordered = array.transpose("problem", "thought", *rest)
    n_series = int(np.prod(ordered.shape[2:]))
    return ordered.values.astype(np.float64).reshape(*ordered.shape[:2], n_series)
