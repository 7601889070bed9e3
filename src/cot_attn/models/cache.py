"""Keys and values that are kept between steps, with room for the steps to come."""

from collections.abc import Sequence
from typing import Any, cast

from jaxtyping import Float, Int
from torch import Tensor, split
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 16
"""Positions that are kept free behind those that are in use."""
AT_ONCE = 64
"""Rows that are copied at once."""

States = Float[Tensor, "batch head position d_head"]
InUse = Float[Tensor, "batch head all_positions d_head"]
Buffers = tuple[Tensor, ...]


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, in buffers with free rows and positions beside those in use.

    Hugging Face's own layer copies everything at every step to make room for one more position.
    Here `keys` and `values` are views of what is in use.
    """

    def update(
        self, key_states: States, value_states: States, *args: Any, **kwargs: Any
    ) -> tuple[InUse, InUse]:
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

    def vacant(self, n_rows: int, width: int, spare: "RoomyLayer | None" = None) -> "RoomyLayer":
        """Return a layer without rows, with room for so many, in which `width` positions are used.

        Where a spare layer is large enough, the new one takes over its memory.
        """
        _, n_heads, _, d_head = self._buffers[0].shape
        free = None if spare is None else spare._buffers
        if free is None or free[0].shape[0] < n_rows or free[0].shape[2] < width + ROOM:
            shape = (n_rows, n_heads, width + ROOM, d_head)
            free = tuple(each.new_empty(shape) for each in self._buffers)
        return self._like(free, 0, width)

    def admit(self, other: "RoomyLayer", rows: Int[Tensor, " rows"]) -> None:
        """Copy chosen rows of another layer, repeats allowed, into free rows of this one."""
        stop = self._rows + len(rows)
        for buffer, source in zip(self._buffers, other._buffers, strict=True):
            # A few rows at a time: what is picked stays in the processor's cache.
            places = split(buffer[self._rows : stop], AT_ONCE)
            for some, place in zip(split(rows, AT_ONCE), places, strict=True):
                place[:, :, : self._width] = source[some, :, : self._width]
        self._use(self._buffers, stop, self._width)

    def part(self, rows: slice) -> "RoomyLayer":
        """Return a layer that shares the memory of some rows."""
        buffers = tuple(each[rows] for each in self._buffers)
        return self._like(buffers, len(buffers[0]), self._width)

    def _like(self, buffers: Buffers, n_rows: int, width: int) -> "RoomyLayer":
        other = RoomyLayer()  # type: ignore[no-untyped-call]  # transformers' constructor
        other.dtype, other.device, other.is_initialized = self.dtype, self.device, True
        other._use(buffers, n_rows, width)
        return other

    def _use(self, buffers: Buffers, n_rows: int, width: int) -> None:
        self._buffers, self._rows, self._width = buffers, n_rows, width
        self.keys, self.values = (each[:n_rows, :, :width] for each in buffers)


def empty_cache() -> Cache:
    """Return a cache that adds its layers as a model calls for them."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def vacant(cache: Cache, n_rows: int, width: int, spare: Cache | None = None) -> Cache:
    """Return a cache without rows, with room for so many, in which `width` positions are used.

    It may take over the memory of a spare cache, which must not be used any more.
    """
    free: Sequence[RoomyLayer | None] = [None] * len(cache.layers)
    if spare is not None:
        free = _layers(spare)
    pairs = zip(_layers(cache), free, strict=True)
    return Cache(layers=[layer.vacant(n_rows, width, own) for layer, own in pairs])


def admit(cache: Cache, other: Cache, rows: Int[Tensor, " rows"]) -> None:
    """Copy chosen rows of another cache, repeats allowed, into free rows of a cache."""
    for layer, source in zip(_layers(cache), _layers(other), strict=True):
        layer.admit(source, rows)


def part(cache: Cache, rows: slice) -> Cache:
    """Return a cache that shares the memory of some rows."""
    return Cache(layers=[layer.part(rows) for layer in _layers(cache)])


def _layers(cache: Cache) -> list[RoomyLayer]:
    return cast("list[RoomyLayer]", cache.layers)


def _roomy(states: States, width: int) -> InUse:
    """Copy states into a buffer with room for `width` positions and some more."""
    batch, n_heads, n_positions, d_head = states.shape
    buffer = states.new_empty(batch, n_heads, width + ROOM, d_head)
    buffer[:, :, :n_positions] = states
    return buffer
