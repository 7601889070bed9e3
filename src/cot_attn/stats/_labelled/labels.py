"""Joining arrays by their labels, and saying what is wrong with those that cannot be joined."""

from typing import Literal, get_args

import xarray as xr

from cot_attn.stats._arguments import first_few, require_choice, require_unique_labels

Join = Literal["exact", "inner"]
JOINS: tuple[Join, ...] = get_args(Join)


def as_array(data: xr.DataArray | xr.Dataset, name: str) -> xr.DataArray:
    """Take the named variable out of a data set; an array is handed back as it is.

    Raises
    ------
    KeyError
        If the data set has no such variable.
    TypeError
        If it is neither.

    Examples
    --------
    >>> effects = xr.Dataset({"failed": ("problem", [1.0, 0.0])})
    >>> as_array(effects, "failed").values
    array([1., 0.])
    """
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


def as_effects(effects: object) -> xr.Dataset:
    """Hand back what an intervention gave: a data set of outcomes; raise where it is none."""
    if isinstance(effects, xr.Dataset):
        return effects
    raise TypeError(
        f"effects must be the Dataset that TokenAblator.run gives, got {type(effects).__name__}. "
        "A study has it as study.effects."
    )


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
    require_choice("join", join, JOINS)
    shared = [dim for dim in left.dims if dim in right.dims]
    for dim in shared:
        for array, name in zip((left, right), names, strict=True):
            require_unique_labels(array, dim, name)
        ours, theirs = left.indexes[dim], right.indexes[dim]
        only_ours, only_theirs = ours.difference(theirs), theirs.difference(ours)
        differ = len(only_ours) > 0 or len(only_theirs) > 0
        if differ and not (join == "inner" and dim == "problem"):
            advice = f"Select those that both have: .sel({dim}=[...])."
            if dim == "problem":
                advice = "Pass join='inner' to use those that both have."
            if set(map(str, ours)) & set(map(str, only_theirs)):
                kinds = f"{type(ours[0]).__name__} and {type(theirs[0]).__name__}"
                advice = f"Some look alike, but are {kinds}: give both the same type."
            raise ValueError(
                f"{names[0]} and {names[1]} do not have the same labels along {dim!r}: "
                f"{len(only_ours)} only in {names[0]} {first_few(only_ours)}, "
                f"{len(only_theirs)} only in {names[1]} {first_few(only_theirs)}. {advice}"
            )
        keep = [label for label in ours if label in theirs] if differ else list(ours)
        if not keep:
            raise ValueError(f"{names[0]} and {names[1]} have no {dim} in common.")
        left, right = left.sel({dim: keep}), right.sel({dim: keep})
    return left, right


def problem_coordinate(name: str, *arrays: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Find a coordinate along the problems, such as the difficulty, in the first that has it."""
    for array in arrays:
        if name in array.coords and array.coords[name].dims == ("problem",):
            return array.coords[name]
    names = {
        str(coordinate)
        for array in arrays
        for coordinate, values in array.coords.items()
        if values.dims == ("problem",)
    }
    raise KeyError(f"There is no problem coordinate {name!r}. There are: {sorted(names)}.")
