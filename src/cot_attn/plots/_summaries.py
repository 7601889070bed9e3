"""What a figure needs of a result, checked at the door."""

from collections.abc import Sequence

import xarray as xr

from cot_attn.plots._units import count
from cot_attn.stats import mean_over_problems

Values = xr.DataArray | xr.Dataset


def summary(values: Values, dims: Sequence[str], what: str) -> xr.Dataset:
    """Bring a result to `estimate`, `low`, `high` over the named dimensions, in that order.

    Parameters
    ----------
    values
        A Dataset from `stats`, or an array with one value a problem, which is averaged here: over
        heads first unless `head` is asked for, then over problems, with an interval.
    dims
        The dimensions that the figure shows. There may be no others.
    what
        What the figure calls it, for the message.
    """
    if isinstance(values, xr.DataArray):
        values = _over_problems(values, dims, what)
    missing = {"estimate", "low", "high"} - set(map(str, values.data_vars))
    if missing:
        raise ValueError(
            f"{what} must hold estimate, low and high, as the functions of cot_attn.stats return "
            f"them; it lacks {sorted(missing)} and has {sorted(map(str, values.data_vars))}."
        )
    require_dims(values["estimate"], dims, what)
    return values.transpose(*dims, ...)


def require_dims(array: xr.DataArray, dims: Sequence[str], what: str) -> None:
    """Raise where an array has not exactly the dimensions that a figure shows."""
    lacking = [dim for dim in dims if dim not in array.dims]
    if lacking:
        raise ValueError(
            f"{what} needs the dimensions {tuple(dims)} and has {array.dims}: {lacking} missing."
        )
    further = [str(dim) for dim in array.dims if dim not in dims]
    if further:
        choice = ", ".join(f"{dim}={array[dim].values[0]!r}" for dim in further)
        raise ValueError(
            f"{what} has the further dimensions {further}, which this figure does not show. Choose "
            f"one of each, for instance .sel({choice}), or average over it first."
        )


def scalar_label(values: Values, name: str) -> str | None:
    """Give a label that was selected before, such as "layer 8" after `.sel(layer=8)`."""
    if name not in values.coords or values.coords[name].ndim:
        return None
    return f"{name} {values.coords[name].item()}"


def model_of(values: Values) -> str | None:
    """Give the model's name, from a label that was selected or from the attributes."""
    if "model" in values.coords and not values.coords["model"].ndim:
        return str(values.coords["model"].item())
    return values.attrs.get("model") if "model" not in values.dims else None


def n_of(shown: xr.Dataset) -> str | None:
    """Write how many problems there were, where there is an estimate of anything."""
    if "n_problems" not in shown:
        return None
    counts = shown["n_problems"].where(shown["estimate"].notnull())
    return count(counts if counts.notnull().any() else shown["n_problems"])


def interval_of(shown: xr.Dataset) -> str | None:
    """Say what the intervals are: "95 % intervals"."""
    confidence = shown.attrs.get("confidence")
    return None if confidence is None else f"{100 * float(confidence):g} % intervals"


def _over_problems(values: xr.DataArray, dims: Sequence[str], what: str) -> xr.Dataset:
    if "problem" not in values.dims:
        raise ValueError(
            f"{what} is an array over {values.dims}, without problems to average over. Give one "
            "value a problem, or a Dataset with estimate, low and high."
        )
    if "head" in values.dims and "head" not in dims:
        values = values.mean("head")
    selected = {name: c for name, c in values.coords.items() if not c.ndim}
    means = mean_over_problems(values)
    return means.assign_coords(selected).assign_attrs({**values.attrs, **means.attrs})
