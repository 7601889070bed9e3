"""Keys and values that are kept between steps, with room for the steps to come."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from cot_attn.models._shared_prefix import PrefixOfRows, SharedPrefix

ROOM = 16
"""Positions that are kept free behind those that are in use."""
WORTH_SHARING = 2**24
"""Bytes that a layer would copy, from which on rows share a prefix: less stays near the processor,
and is read quicker than a product is split in two."""

States = Float[Tensor, "batch head position d_head"]
InUse = Float[Tensor, "batch head all_positions d_head"]
Values = Float[Tensor, "batch head position d_value"]
ValuesInUse = Float[Tensor, "batch head all_positions d_value"]
Buffers = tuple[Tensor, ...]


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, in buffers with free rows and positions beside those in use.

    Hugging Face's own layer copies everything at every step to make room for one more position.
    Here `keys` and `values` are views of what is in use. Where rows share prefixes, these views
    are of what stands behind them.
    """

    _prefixes: Buffers | None = None
    _prefix_of_rows: PrefixOfRows | None = None

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
        rows = self._prefix_of_rows
        if self._prefixes is None or rows is None:
            return keys, values
        shared_keys, shared_values = map(rows.present, self._prefixes)
        return SharedPrefix(shared_keys, keys, rows), SharedPrefix(shared_values, values, rows)

    def get_seq_length(self) -> int:
        """Return how many positions are in use, shared ones among them."""
        return self._n_shared + self._width if self.is_initialized else 0

    def empty_like(
        self,
        width: int,
        n_rows: int,
        n_positions: int,
        n_shared: int,
        spare: "RoomyLayer | None" = None,
    ) -> "RoomyLayer":
        """Return a layer without rows, in which `width` positions are used.

        It has room for so many rows and positions, and some more. Its rows will share their first
        `n_shared` positions with the rows that they are copies of, or as many as these share with
        others. Where a spare layer is large enough, the new one takes over its memory.
        """
        prefixes = self._prefixes
        if prefixes is None and n_shared:
            prefixes = tuple(each[: self._rows, :, :n_shared] for each in self._buffers)
        n_shared = 0 if prefixes is None else prefixes[0].shape[2]
        n_positions += ROOM - n_shared
        free = None if spare is None else spare._buffers
        if free is None or free[0].shape[0] < n_rows or free[0].shape[2] < n_positions:
            # Values may be of another width than keys.
            shapes = ((n_rows, each.shape[1], n_positions, each.shape[3]) for each in self._buffers)
            free = tuple(map(self._buffers[0].new_empty, shapes))
        return self._like(free, 0, width - n_shared, prefixes)

    def append_rows(
        self, other: "RoomyLayer", rows: Int[Tensor, " rows"], prefix_of_rows: PrefixOfRows | None
    ) -> None:
        """Copy chosen rows of another layer, repeats allowed, into free rows of this one."""
        stop, width = self._rows + len(rows), self._width
        first = self._n_shared - other._n_shared
        for buffer, source in zip(self._buffers, other._buffers, strict=True):
            free = buffer[self._rows : stop, :, :width]
            torch.index_select(source[:, :, first : first + width], 0, rows, out=free)
        self._prefix_of_rows = prefix_of_rows
        self._use(self._buffers, stop, width)

    def view(
        self, rows: slice, width: int | None, prefix_of_rows: PrefixOfRows | None
    ) -> "RoomyLayer":
        """Return a layer that shares the memory of some rows, and of their first positions."""
        buffers = tuple(each[rows] for each in self._buffers)
        width = self._width if width is None else width - self._n_shared
        other = self._like(buffers, len(buffers[0]), width, self._prefixes)
        other._prefix_of_rows = prefix_of_rows
        return other

    def merge(self, views: Sequence["RoomyLayer"]) -> None:
        """Use what has been written into views that together are all rows, in order."""
        buffers, width = self._buffers, views[0]._width
        if width > buffers[0].shape[2]:  # the views have outgrown the memory that they shared
            owned = [view._buffers for view in views]
            buffers = tuple(torch.cat(each) for each in zip(*owned, strict=True))
        self._use(buffers, self._rows, width)

    def select(self, order: Int[Tensor, " rows"], prefix_of_rows: PrefixOfRows | None) -> None:
        """Keep chosen rows, without repeats, in that order; rows that stay are not touched."""
        moved = torch.nonzero(order != torch.arange(len(order), device=order.device))[:, 0]
        for buffer in self._buffers:
            states = buffer[:, :, : self._width]
            states[moved] = states[order[moved]]
        self._prefix_of_rows = prefix_of_rows
        self._use(self._buffers, len(order), self._width)

    def move(self) -> None:
        """Go on in memory of its own."""
        self._use(tuple(each.clone() for each in self._buffers), self._rows, self._width)

    def bytes_of_position(self) -> int:
        """Return what the keys and values of one position take."""
        return sum(each[:1, :, :1].nbytes for each in self._buffers)

    @property
    def _n_shared(self) -> int:
        return 0 if self._prefixes is None else self._prefixes[0].shape[2]

    def _like(
        self, buffers: Buffers, n_rows: int, width: int, prefixes: Buffers | None
    ) -> "RoomyLayer":
        other = RoomyLayer()  # type: ignore[no-untyped-call]  # transformers' constructor
        other.dtype, other.device, other.is_initialized = self.dtype, self.device, True
        other._prefixes = prefixes
        other._use(buffers, n_rows, width)
        return other

    def _use(self, buffers: Buffers, n_rows: int, width: int) -> None:
        self._buffers, self._rows, self._width = buffers, n_rows, width
        self.keys, self.values = (each[:n_rows, :, :width] for each in buffers)


class RoomyCache(Cache):
    """The keys and values of all layers; without layers, it adds them as a model calls for them."""

    def __init__(
        self, layers: Sequence[RoomyLayer] = (), prefix_of_rows: PrefixOfRows | None = None
    ) -> None:
        if layers:
            super().__init__(layers=list(layers))
        else:
            super().__init__(layer_class_to_replicate=RoomyLayer)
        self._prefix_of_rows = prefix_of_rows
        self._origin = object()
        """The same in all caches whose rows share prefixes, and in the one that these are of."""
        self._is_shared = False

    def empty_like(
        self,
        width: int,
        n_rows: int,
        n_positions: int,
        n_shared: int,
        spare: "RoomyCache | None" = None,
    ) -> "RoomyCache":
        """Return a cache without rows, in which `width` positions are used, with room for more.

        Its rows may share their first positions with those that they are copies of, which must
        stay. It may take over the memory of a spare cache, which must not be used any more.
        """
        layers = self._roomy_layers()
        usable = spare is not None and not spare._is_shared
        spares = spare._roomy_layers() if spare and usable else [None] * len(layers)
        shares = self._prefix_of_rows is not None
        if not shares and n_rows * n_shared * layers[0].bytes_of_position() < WORTH_SHARING:
            n_shared = 0
        pairs = zip(layers, spares, strict=True)
        none_yet = torch.zeros(0, dtype=torch.long, device=layers[0].device)
        other = RoomyCache(
            [layer.empty_like(width, n_rows, n_positions, n_shared, old) for layer, old in pairs],
            PrefixOfRows(none_yet) if shares or n_shared else None,
        )
        if shares or n_shared:
            other._origin = self._origin
            self._is_shared = not shares  # what a copy holds is copied again, all but its prefixes
        return other

    def append_rows(self, other: "RoomyCache", rows: Int[Tensor, " rows"]) -> None:
        """Copy chosen rows of another cache, repeats allowed, into free rows of this one.

        Raises
        ------
        ValueError
            Where one of the two shares a prefix that the other has not.
        """
        shares = any(each._prefix_of_rows is not None for each in (self, other))
        if shares and self._origin is not other._origin:
            raise ValueError(
                "Rows share the prompts of the rollout that they were branched off, and those that "
                "are to be appended are of another one: append rows of that rollout, or of another "
                "branch of it that shares them."
            )
        self._part_from_copies()
        if (before := self._prefix_of_rows) is not None:
            of_other = other._prefix_of_rows
            numbers = rows if of_other is None else of_other.numbers[rows]
            self._prefix_of_rows = PrefixOfRows(torch.cat([before.numbers, numbers]))
        for layer, source in zip(self._roomy_layers(), other._roomy_layers(), strict=True):
            layer.append_rows(source, rows, self._prefix_of_rows)

    def view(self, rows: slice, width: int | None = None) -> "RoomyCache":
        """Return a cache that shares the memory of some rows, and of their first positions."""
        prefix_of_rows = self._prefix_of_chosen(rows)
        layers = [layer.view(rows, width, prefix_of_rows) for layer in self._roomy_layers()]
        other = RoomyCache(layers, prefix_of_rows)
        if prefix_of_rows is not None:
            other._origin = self._origin
        return other

    def merge(self, views: Sequence["RoomyCache"]) -> None:
        """Use what has been written into views that together are all rows, in order."""
        layers = (view._roomy_layers() for view in views)
        for layer, *of_views in zip(self._roomy_layers(), *layers, strict=True):
            layer.merge(of_views)

    def select(self, order: Int[Tensor, " rows"]) -> None:
        """Keep chosen rows, without repeats, in that order."""
        self._part_from_copies()
        self._prefix_of_rows = self._prefix_of_chosen(order)
        for layer in self._roomy_layers():
            layer.select(order, self._prefix_of_rows)

    def _part_from_copies(self) -> None:
        """Leave the memory to caches that look at its rows, before these are others."""
        if self._is_shared:
            for layer in self._roomy_layers():
                layer.move()
            self._origin, self._is_shared = object(), False

    def _prefix_of_chosen(self, rows: slice | Int[Tensor, " rows"]) -> PrefixOfRows | None:
        prefix_of_rows = self._prefix_of_rows
        return None if prefix_of_rows is None else PrefixOfRows(prefix_of_rows.numbers[rows])

    def _roomy_layers(self) -> list[RoomyLayer]:
        return cast("list[RoomyLayer]", self.layers)


def _roomy(states: States, width: int) -> InUse:
    """Copy states into a buffer with room for `width` positions and some more."""
    batch, n_heads, n_positions, d_head = states.shape
    buffer = states.new_empty(batch, n_heads, width + ROOM, d_head)
    buffer[:, :, :n_positions] = states
    return buffer
