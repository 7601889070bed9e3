"""Arrays that stand for the results of many shards, and read those that are looked at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing


@dataclass(frozen=True)
class Block:
    """What one shard holds of an array.

    Attributes
    ----------
    shard
        The shard's name.
    places
        Along each dimension, which of the array's places the shard's own ones are.
    """

    shard: str
    places: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The block's extent; a shard's own array has fewer dimensions, as one label is one."""
        return tuple(map(len, self.places))


class ShardedArray(BackendArray):
    """An array over the whole sweep, read from shards when it is asked for values.

    Parameters
    ----------
    variable
        The name of the array in each shard.
    read
        Returns a shard's array, by the shard's name and the variable's.
    blocks
        What each shard holds; where none does, the array is filled.
    shape, dtype
        Of the whole.
    fill
        What stands where no shard has anything.
    """

    def __init__(
        self,
        variable: str,
        read: Callable[[str, str], np.ndarray],
        blocks: Sequence[Block],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        fill: object,
    ) -> None:
        self.variable, self.read, self.blocks = variable, read, blocks
        self.shape, self.dtype, self.fill = shape, dtype, fill

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        """Return the asked values."""
        found: np.ndarray = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._values
        )
        return found

    def _values(self, key: tuple[Any, ...]) -> np.ndarray:
        wanted = [np.arange(n)[each] for n, each in zip(self.shape, key, strict=True)]
        # Each place once, in order; what was asked for twice is repeated at the end.
        several = [np.unique(each, return_inverse=True) for each in wanted]
        out = np.full([len(labels) for labels, _ in several], self.fill, dtype=self.dtype)
        targets = []
        for n, (labels, _) in zip(self.shape, several, strict=True):
            target = np.full(n, -1)
            target[labels] = np.arange(len(labels))
            targets.append(target)
        for block in self.blocks:
            rows = [target[places] for target, places in zip(targets, block.places, strict=True)]
            if all((each >= 0).any() for each in rows):
                kept = [np.flatnonzero(each >= 0) for each in rows]
                values = self.read(block.shard, self.variable).reshape(block.shape)
                inside = [each[chosen] for each, chosen in zip(rows, kept, strict=True)]
                out[np.ix_(*inside)] = values[np.ix_(*kept)]
        repeated = out[np.ix_(*(inverse.ravel() for _, inverse in several))]
        return repeated.reshape([len(each) for each in wanted if each.ndim])


def variable(
    dims: Sequence[str], array: ShardedArray, chunks: Mapping[str, int], attrs: Mapping[str, Any]
) -> xr.Variable:
    """Return a variable that reads lazily; dask cuts it where shards are cut."""
    preferred = {dim: chunks[dim] for dim in dims if dim in chunks}
    return xr.Variable(
        dims,
        indexing.LazilyIndexedArray(array),
        attrs,
        encoding={"preferred_chunks": preferred},
    )
