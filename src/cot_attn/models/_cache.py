"""Keys and values that are kept between steps, with room for the steps to come."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 16
"""Positions that are kept free behind those that are in use."""

States = Float[Tensor, "batch head position d_head"]
InUse = Float[Tensor, "batch head all_positions d_head"]
Values = Float[Tensor, "batch head position d_value"]
ValuesInUse = Float[Tensor, "batch head all_positions d_value"]
Buffers = tuple[Tensor, ...]


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, in buffers with free rows and positions beside those in use.

    Hugging Face's own layer copies everything at every step to make room for one more position.
    Here `keys` and `values` are views of what is in use.
    """

    def update(
        self, key_states: States, value_states: Values, *args: Any, **kwargs: Any
    ) -> tuple[InUse, ValuesInUse]:
        """Write new positions and return all that are in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._use((key_states[:, :, :0], value_states[:, :, :0]), len(key_states), 0)
        start = self._width
        stop = start + key_states.shape[2]
        if stop > self._buffers[0].shape[2]:
            roomy = (_roomy(each[: self._rows, :, :start], stop) for each in self._buffers)
            self._use(tuple(roomy), self._rows, start)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[: self._rows, :, start:stop] = new
        self._use(self._buffers, self._rows, stop)
        keys, values = (buffer[: self._rows, :, :stop] for buffer in self._buffers)
        return keys, values

    def empty_like(
        self, width: int, n_rows: int, n_positions: int, spare: "RoomyLayer | None" = None
    ) -> "RoomyLayer":
        """Return a layer without rows, in which `width` positions are used.

        It has room for so many rows and positions, and some more. Where a spare layer is large
        enough, the new one takes over its memory.
        """
        n_positions += ROOM
        free = None if spare is None else spare._buffers
        if free is None or free[0].shape[0] < n_rows or free[0].shape[2] < n_positions:
            # Values may be of another width than keys.
            shapes = ((n_rows, each.shape[1], n_positions, each.shape[3]) for each in self._buffers)
            free = tuple(map(self._buffers[0].new_empty, shapes))
        return self._like(free, 0, width)

    def append_rows(self, other: "RoomyLayer", rows: Int[Tensor, " rows"]) -> None:
        """Copy chosen rows of another layer, repeats allowed, into free rows of this one."""
        stop, width = self._rows + len(rows), self._width
        for buffer, source in zip(self._buffers, other._buffers, strict=True):
            free = buffer[self._rows : stop, :, :width]
            torch.index_select(source[:, :, :width], 0, rows, out=free)
        self._use(self._buffers, stop, width)

    def view(self, rows: slice, width: int | None = None) -> "RoomyLayer":
        """Return a layer that shares the memory of some rows, and of their first positions."""
        buffers = tuple(each[rows] for each in self._buffers)
        return self._like(buffers, len(buffers[0]), self._width if width is None else width)

    def merge(self, views: Sequence["RoomyLayer"]) -> None:
        """Use what has been written into views that together are all rows, in order."""
        buffers, width = self._buffers, views[0]._width
        if width > buffers[0].shape[2]:  # the views have outgrown the memory that they shared
            owned = [view._buffers for view in views]
            buffers = tuple(torch.cat(each) for each in zip(*owned, strict=True))
        self._use(buffers, self._rows, width)

    def select(self, order: Int[Tensor, " rows"]) -> None:
        """Keep chosen rows, without repeats, in that order; rows that stay are not touched."""
        moved = torch.nonzero(order != torch.arange(len(order), device=order.device))[:, 0]
        for buffer in self._buffers:
            states = buffer[:, :, : self._width]
            states[moved] = states[order[moved]]
        self._use(self._buffers, len(order), self._width)

    def _like(self, buffers: Buffers, n_rows: int, width: int) -> "RoomyLayer":
        other = RoomyLayer()  # type: ignore[no-untyped-call]  # transformers' constructor
        other.dtype, other.device, other.is_initialized = self.dtype, self.device, True
        other._use(buffers, n_rows, width)
        return other

    def _use(self, buffers: Buffers, n_rows: int, width: int) -> None:
        self._buffers, self._rows, self._width = buffers, n_rows, width
        self.keys, self.values = (each[:n_rows, :, :width] for each in buffers)


class RoomyCache(Cache):
    """The keys and values of all layers; without layers, it adds them as a model calls for them."""

    def __init__(self, layers: Sequence[RoomyLayer] = ()) -> None:
        if layers:
            super().__init__(layers=list(layers))
        else:
            super().__init__(layer_class_to_replicate=RoomyLayer)

    def empty_like(
        self, width: int, n_rows: int, n_positions: int, spare: "RoomyCache | None" = None
    ) -> "RoomyCache":
        """Return a cache without rows, in which `width` positions are used, with room for more.

        It may take over the memory of a spare cache, which must not be used any more.
        """
        layers = self._roomy_layers()
        spares = [None] * len(layers) if spare is None else spare._roomy_layers()
        pairs = zip(layers, spares, strict=True)
        return RoomyCache(
            [layer.empty_like(width, n_rows, n_positions, other) for layer, other in pairs]
        )

    def append_rows(self, other: "RoomyCache", rows: Int[Tensor, " rows"]) -> None:
        """Copy chosen rows of another cache, repeats allowed, into free rows of this one."""
        for layer, source in zip(self._roomy_layers(), other._roomy_layers(), strict=True):
            layer.append_rows(source, rows)

    def view(self, rows: slice, width: int | None = None) -> "RoomyCache":
        """Return a cache that shares the memory of some rows, and of their first positions."""
        return RoomyCache([layer.view(rows, width) for layer in self._roomy_layers()])

    def merge(self, views: Sequence["RoomyCache"]) -> None:
        """Use what has been written into views that together are all rows, in order."""
        layers = (view._roomy_layers() for view in views)
        for layer, *of_views in zip(self._roomy_layers(), *layers, strict=True):
            layer.merge(of_views)

    def select(self, order: Int[Tensor, " rows"]) -> None:
        """Keep chosen rows, without repeats, in that order."""
        for layer in self._roomy_layers():
            layer.select(order)

    def _roomy_layers(self) -> list[RoomyLayer]:
        return cast("list[RoomyLayer]", self.layers)


def _roomy(states: States, width: int) -> InUse:
    """Copy states into a buffer with room for `width` positions and some more."""
    batch, n_heads, n_positions, d_head = states.shape
    buffer = states.new_empty(batch, n_heads, width + ROOM, d_head)
    buffer[:, :, :n_positions] = states
    return buffer
