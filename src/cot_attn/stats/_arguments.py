"""What the functions of this package may be given: each rule once, with what to do instead."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import pandas as pd
import xarray as xr

FEWEST_RESAMPLES = 19  # of fewer, no p value is below 0.1
LABEL_IT = "Label it: xr.DataArray(values, coords, dims)."


def require_array(
    array: object, dims: Sequence[str], what: str, *, name: str = "values", advice: str = LABEL_IT
) -> None:
    """Raise where something is no labelled array over some dimensions, or has a problem twice.

    Parameters
    ----------
    array
        What was given.
    dims
        The dimensions that are needed, among others.
    what
        What is computed, to begin a sentence: "A mean over problems".
    name
        What the argument is called.
    advice
        How to come by such an array.
    """
    if not isinstance(array, xr.DataArray):
        raise TypeError(
            f"{name} must be an xarray DataArray over ({', '.join(dims)}), got "
            f"{type(array).__name__}. {advice}"
        )
    missing = [dim for dim in dims if dim not in array.dims]
    if missing:
        raise ValueError(
            f"{what} needs the dimensions {tuple(dims)}; this array has {array.dims} "
            f"(without {missing}). Rename a dimension with .rename(...)."
        )
    if "problem" in array.indexes:
        require_unique_labels(array, "problem", what)


def require_unique_labels(array: xr.DataArray, dim: Hashable, name: str) -> None:
    """Raise where a dimension has no labels, or one of them twice."""
    if dim not in array.indexes:
        raise ValueError(
            f"{name} has no labels along {dim!r}, so it cannot be joined by label. "
            f"Add them: .assign_coords({dim}=...)."
        )
    index = array.indexes[dim]
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        raise ValueError(
            f"{name} has repeated labels along {dim!r}: {first_few(repeated)}. Each may occur "
            f"once: see .drop_duplicates({dim!r})."
        )


def require_several(array: xr.DataArray, dim: str, otherwise: str, *, fewest: int = 2) -> None:
    """Raise where a dimension has too few labels; `otherwise` ends the sentence that says so."""
    n = array.sizes[dim]
    if n < fewest:
        count = f"is one {dim}" if n == 1 else f"are {n} labels along {dim!r}"
        raise ValueError(f"There {count} only ({array[dim].values.tolist()}): {otherwise}.")


def require_numeric_labels(array: xr.DataArray, dim: str, what: str) -> None:
    """Raise where a dimension's labels are no numbers, which give the order."""
    if array[dim].dtype.kind not in "iuf":
        raise ValueError(
            f"{what} needs numbers along {dim!r}, which give the order; the labels are "
            f"{array[dim].values.tolist()}. Number them: .assign_coords({dim}=...)."
        )


def require_not_negative(array: xr.DataArray, why: str) -> None:
    """Raise where a value is below 0; `why` says what values must be."""
    if bool((array < 0).any()):
        raise ValueError(
            f"Values must not be negative; the smallest is {float(array.min()):.3g}. {why}"
        )


def require_choice(name: str, value: object, accepted: Iterable[str]) -> None:
    """Raise where an argument is none of the words that are accepted."""
    accepted = list(accepted)
    if value not in accepted:
        raise ValueError(f"{name}={value!r} is not known. Choose one of {accepted}.")


def require_confidence(confidence: float) -> None:
    """Raise where a confidence is no fraction, such as 95 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence={confidence!r} is not between 0 and 1. Give a fraction: 0.95 for 95 %."
        )


def require_resamples(n_resamples: int) -> None:
    """Raise where resamples are so few that nothing could come of them."""
    if n_resamples < FEWEST_RESAMPLES:
        raise ValueError(
            f"n_resamples={n_resamples} is too few for any p value below 0.1. Use 1000 or more."
        )


def first_few(labels: "pd.Index[Any]") -> str:
    """List the first labels of many, in brackets; nothing where there is none."""
    listed = [str(label) for label in labels[:3]]
    return f"({', '.join(listed)}{', ...' if len(labels) > 3 else ''})" if listed else ""
