"""Which layers to show where all would be too many, and how deep a layer lies."""

from collections.abc import Sequence

import xarray as xr

FEW = 4  # so many are all shown


def layers_to_show(layers: Sequence[int]) -> list[int]:
    """Choose all layers where there are four or fewer, else an early, a middle and the last one.

    Examples
    --------
    >>> layers_to_show(range(12)), layers_to_show(range(4))
    ([2, 5, 11], [0, 1, 2, 3])
    """
    if len(layers) <= FEW:
        return [int(layer) for layer in layers]
    last = len(layers) - 1
    return [int(layers[place]) for place in sorted({last // 4, last // 2, last})]


def layers_with_values(values: xr.DataArray) -> list[int]:
    """List the layers for which there is any value; models side by side differ in number.

    Where there is no value at all, nothing tells layers apart, and all are listed.
    """
    others = [dim for dim in values.dims if dim != "layer"]
    present = values.notnull().any(others).values
    return [int(layer) for layer in values["layer"].values[present | ~present.any()]]


def chosen_layers(values: xr.DataArray, layers: Sequence[int] | None) -> list[int]:
    """Check the asked layers against those there are; without any, choose some."""
    present = layers_with_values(values)
    if layers is None:
        return layers_to_show(present)
    unknown = [layer for layer in layers if layer not in present]
    if unknown or not layers:
        raise ValueError(f"layers={list(layers)} was asked for; there are {present}.")
    return list(layers)
