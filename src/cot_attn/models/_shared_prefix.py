"""Keys and values whose first positions many rows share, and attention over them without a copy.

Variants of a problem have its prompt in common. A row's scores over the prompt are a product of a
vector with a matrix, for which the matrix has to be fetched from memory anew; those of all rows
that share it are one product of matrices (Juravsky et al. 2024, "Hydragen", arXiv 2402.05099). Here
both parts of the scores are put side by side, so that whoever listens to scores or patterns sees
all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor


class PrefixOfRows:
    """Which of several prefixes each row has.

    Parameters
    ----------
    numbers
        The number of its prefix, for each row: that of a row of the run that was shared first.
    """

    def __init__(self, numbers: Int[Tensor, " rows"]) -> None:
        self.numbers = numbers
        first, last = (int(each) for each in numbers.aminmax()) if len(numbers) else (0, -1)
        self._present = slice(first, last + 1)
        sizes = (numbers - first).bincount()
        rows = torch.arange(len(numbers), device=numbers.device)
        order = numbers.argsort(stable=True)
        rank = torch.empty_like(rows)
        rank[order] = rows - (sizes.cumsum(dim=0) - sizes)[(numbers - first)[order]]
        self._cell = (numbers - first, rank)
        # Where a prefix has fewer rows than another, row 0 fills up.
        self._rows = rows.new_zeros(len(sizes), int(sizes.max()) if len(sizes) else 0)
        self._rows[self._cell] = rows

    def present(
        self, prefixes: Float[Tensor, "prefix head position d"]
    ) -> Float[Tensor, "present head position d"]:
        """Return the prefixes from the first to the last that a row has."""
        return prefixes[self._present]

    def of_each(self, present: Float[Tensor, "present *dims"]) -> Float[Tensor, "rows *dims"]:
        """Return the prefix of each row."""
        return present[self._cell[0]]

    def product(
        self,
        left: Float[Tensor, "rows head query inner"],
        present: Float[Tensor, "present head inner outer"],
    ) -> Float[Tensor, "rows head query outer"]:
        """Return the product of each row with its own prefix."""
        heads = torch.arange(left.shape[1], device=left.device)
        grouped = left[self._rows[:, None], heads[None, :, None]]
        grouped = rearrange(grouped, "prefix head row query inner -> prefix head (row query) inner")
        found = rearrange(
            grouped @ present,
            "prefix head (row query) outer -> prefix head row query outer",
            query=left.shape[2],
        )
        prefix, rank = self._cell
        return found[prefix, :, rank]


class SharedPrefix(Tensor):
    """States of rows, of which the first positions are shared and the others a row's own.

    It stands for the tensor (batch, head, position, d) that would hold a copy of the prefix in each
    row. Attention multiplies queries or patterns with it, in two parts; for whatever else is asked
    of it, that tensor is made.

    Parameters
    ----------
    prefixes
        The prefixes from the first to the last that a row has.
    own
        What stands behind them.
    rows
        Which row has which.
    position
        The dimension that goes over positions, from the last.
    """

    _prefixes: Tensor
    _own: Tensor
    _rows: PrefixOfRows
    _position: int

    @staticmethod
    def __new__(
        cls, prefixes: Tensor, own: Tensor, rows: PrefixOfRows, position: int = -2
    ) -> "SharedPrefix":
        shape = list(own.shape)
        shape[position] += prefixes.shape[position]
        # It has a shape and no memory.
        new: SharedPrefix = Tensor._make_wrapper_subclass(
            cls, shape, dtype=own.dtype, device=own.device
        )
        new._prefixes, new._own, new._rows, new._position = prefixes, own, rows, position
        return new

    def whole(self) -> Tensor:
        """Return the tensor that it stands for."""
        parts = [self._rows.of_each(self._prefixes), self._own]
        return torch.cat(parts, dim=self._position)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = str(getattr(function, "__name__", ""))
        if function in _ABOUT_SHAPE:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **named)
        in_place = name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))
        if in_place or isinstance(named.get("out"), cls):
            raise RuntimeError(
                f"{name} changes keys or values in place, and rows share them: change a copy, such "
                "as .clone()."
            )
        if function in _IN_PARTS and named.keys() <= {"dim"}:
            found = _IN_PARTS[function](*args, **named)
            if found is not None:
                return found
        return function(*_whole(args), **_whole(named))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch's stub leaves the function out
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise NotImplementedError(f"{function} was asked of keys or values that rows share.")

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "SharedPrefix":
        """Return it with both parts changed in the same way."""
        return SharedPrefix(change(self._prefixes), change(self._own), self._rows, self._position)


_ABOUT_SHAPE = {
    Tensor.size,
    Tensor.dim,
    *(getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "layout")),
}
_IN_PLACE = {"__set__", "__setitem__"} | {
    f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
}


def _product(left: Any, right: Any) -> Tensor | None:
    """Multiply queries with keys, or patterns with values."""
    if isinstance(left, SharedPrefix) or not left.ndim == right.ndim == 4:
        return None
    if left.shape[:2] != right.shape[:2]:
        return None
    rows: PrefixOfRows = right._rows
    prefixes, rest = right._prefixes, right._own
    if right._position == -1:
        return torch.cat([rows.product(left, prefixes), left @ rest], dim=-1)
    n_shared = prefixes.shape[2]
    of_prefixes = rows.product(left[..., :n_shared], prefixes)
    return torch.add(of_prefixes, left[..., n_shared:] @ rest)


def _transposed(states: SharedPrefix, first: int, second: int) -> SharedPrefix | None:
    """Exchange the last two dimensions, as of keys that queries are multiplied with."""
    if {first % states.ndim, second % states.ndim} != {states.ndim - 2, states.ndim - 1}:
        return None
    other = states._changed(lambda part: part.transpose(first, second))
    other._position = -3 - states._position
    return other


def _cast(states: SharedPrefix, dtype: Any, *others: Any) -> SharedPrefix | None:
    """Change the type, as of keys that are scored in another than they are kept in."""
    if others or not isinstance(dtype, torch.dtype):
        return None
    return states._changed(lambda part: part.to(dtype))


# Heads that share keys and values repeat them, in one of two ways.


def _repeated(states: SharedPrefix, repeats: Any, dim: int | None = None) -> SharedPrefix | None:
    """Repeat heads."""
    if dim != 1:
        return None
    return states._changed(lambda part: part.repeat_interleave(repeats, dim=1))


def _indexed(states: SharedPrefix, index: Any) -> SharedPrefix | None:
    """Add a dimension behind the heads."""
    every = slice(None)
    if index != (every, every, None, every, every):
        return None
    return states._changed(lambda part: part[index])


def _resized(
    change: Callable[..., Tensor], states: SharedPrefix, *sizes: int
) -> SharedPrefix | None:
    """Change sizes between the first and the last two."""
    first, *_, position, last = states.shape
    if not 3 <= len(sizes) <= states.ndim or (sizes[0], *sizes[-2:]) != (first, position, last):
        return None

    def resized(part: Tensor) -> Tensor:
        return change(part, len(part), *sizes[1:-2], *part.shape[-2:])

    return states._changed(resized)


_IN_PARTS: dict[Any, Callable[..., Tensor | None]] = {
    torch.matmul: _product,
    Tensor.matmul: _product,
    Tensor.__matmul__: _product,
    Tensor.transpose: _transposed,
    Tensor.to: _cast,
    Tensor.repeat_interleave: _repeated,
    Tensor.__getitem__: _indexed,
    Tensor.expand: partial(_resized, Tensor.expand),
    Tensor.reshape: partial(_resized, Tensor.reshape),
}
"""What attention asks of keys and values; None where it is asked in another way."""


def _whole(given: Any) -> Any:
    """Return arguments in which tensors stand for themselves."""
    if isinstance(given, SharedPrefix):
        return given.whole()
    if isinstance(given, list | tuple):
        return type(given)(map(_whole, given))
    if isinstance(given, dict):
        return {name: _whole(each) for name, each in given.items()}
    return given
