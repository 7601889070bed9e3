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


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, in buffers with free positions behind those in use.

    Hugging Face's own layer copies everything at every step to make room for one more position.
    Here `keys` and `values` are views of what is in use.
    """

    def update(
        self, key_states: States, value_states: States, *args: Any, **kwargs: Any
    ) -> tuple[InUse, InUse]:
        """Write new positions and return all that are in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._use(key_states[:, :, :0], value_states[:, :, :0], 0)
        start = self._width
        stop = start + key_states.shape[2]
        if stop > self._buffers[0].shape[2]:
            keys, values = (_roomy(each[:, :, :start], stop) for each in self._buffers)
            self._use(keys, values, start)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:stop] = new
        self._use(*self._buffers, stop)
        return self._buffers[0][:, :, :stop], self._buffers[1][:, :, :stop]

    def branched(
        self, rows: Int[Tensor, " rows"], width: int, spare: "RoomyLayer | None" = None
    ) -> "RoomyLayer":
        """Return a copy of the first `width` positions of chosen rows, repeats allowed.

        Where a spare layer is large enough, the copy takes over its memory.
        """
        other = RoomyLayer()  # type: ignore[no-untyped-call]  # transformers' constructor
        other.dtype, other.device, other.is_initialized = self.dtype, self.device, True
        _, n_heads, _, d_head = self._buffers[0].shape
        copies = []
        for index, source in enumerate(self._buffers):
            free = None if spare is None else spare._buffers[index]
            if free is None or free.shape[0] < len(rows) or free.shape[2] < width + ROOM:
                free = source.new_empty(len(rows), n_heads, width + ROOM, d_head)
            copy = free[: len(rows)]
            # A few rows at a time: what is picked stays in the processor's cache.
            for some, into in zip(split(rows, AT_ONCE), split(copy, AT_ONCE), strict=True):
                into[:, :, :width] = source[some, :, :width]
            copies.append(copy)
        other._use(copies[0], copies[1], width)
        return other

    def _use(self, keys: States, values: States, width: int) -> None:
        self._buffers, self._width = (keys, values), width
        self.keys, self.values = keys[:, :, :width], values[:, :, :width]


def empty_cache() -> Cache:
    """Return a cache that adds its layers as a model calls for them."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def branched(
    cache: Cache, rows: Int[Tensor, " rows"], width: int, spare: Cache | None = None
) -> Cache:
    """Return a copy of the first `width` positions of chosen rows of a whole cache.

    The copy may take over the memory of a spare cache, which must not be used any more.
    """
    layers = cast("list[RoomyLayer]", cache.layers)
    free: Sequence[RoomyLayer | None] = [None] * len(layers)
    if spare is not None:
        free = cast("list[RoomyLayer]", spare.layers)
    return Cache(
        layers=[layer.branched(rows, width, own) for layer, own in zip(layers, free, strict=True)]
    )


def _roomy(states: States, width: int) -> InUse:
    """Copy states into a buffer with room for `width` positions and some more."""
    batch, n_heads, n_positions, d_head = states.shape
    buffer = states.new_empty(batch, n_heads, width + ROOM, d_head)
    buffer[:, :, :n_positions] = states
    return buffer
