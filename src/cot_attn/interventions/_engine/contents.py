"""What a value holds, as a digest: equal contents have the same one, other contents another.

A value is written as its kind and its pieces, each with its length before it, and a piece that is a
value itself is written as its digest: no two values are written alike. Nothing is abbreviated, and
nothing depends on the process, as `repr` and `hash` do.
"""

import dataclasses
import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cached_property
from pathlib import PurePath
from types import EllipsisType, FunctionType, NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cot_attn.interventions._engine.behaviour import behaviour, qualified

_SIMPLE: Mapping[type, Callable[[Any], bytes]] = {
    NoneType: lambda value: b"",
    EllipsisType: lambda value: b"",
    bool: lambda value: b"%d" % value,
    int: lambda value: b"%x" % value,
    float: lambda value: struct.pack(">d", value),
    complex: lambda value: struct.pack(">dd", value.real, value.imag),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: bytes,
    range: lambda value: repr(value).encode(),
    torch.dtype: lambda value: str(value).encode(),
    torch.device: lambda value: str(value).encode(),
}
_SEQUENCES = (tuple, list, torch.Size)
_SETS = (set, frozenset)
_ARRAYS = (np.ndarray, np.memmap)
_TENSORS = (Tensor, nn.Parameter)
_BUILT_IN = (*_SEQUENCES, *_SETS, *_ARRAYS, *_TENSORS, *_SIMPLE, dict, bytearray)


def digest(value: object) -> str:
    """Return the SHA-256 of a value's contents, as hex digits.

    Numbers, texts, paths, enumerations, arrays, tensors and dataclasses have contents, and lists,
    tuples, sets and dicts of them. Of a dataclass also the class counts, with what its methods do.

    Raises
    ------
    ValueError
        Where something in it cannot be told from others by its contents, such as a function.

    Examples
    --------
    >>> digest({"a": 1, "b": [2.0, None]}) == digest({"b": [2.0, None], "a": 1})
    True
    >>> digest([1]) == digest([True]) or digest(["ab", "c"]) == digest(["a", "bc"])
    False
    """
    try:
        return _digest(value, "").hex()
    except RecursionError as error:
        raise ValueError(
            f"A {type(value).__name__} holds itself, or is too deep to be told from others by its "
            "contents."
        ) from error


def _digest(value: object, path: str) -> bytes:
    kind, pieces = _written(value, path)
    whole = hashlib.sha256()
    for piece in (kind.encode("utf-8", "surrogatepass"), *pieces):
        whole.update(len(piece).to_bytes(8, "big"))
        whole.update(piece)
    return whole.digest()


def _written(value: Any, path: str) -> tuple[str, Iterable[bytes]]:
    """Return a value's kind and its pieces."""
    exactly = type(value)
    kind = qualified(exactly)
    if exactly in _SIMPLE:
        return kind, [_SIMPLE[exactly](value)]
    if exactly in _SEQUENCES or _is_named_tuple(value):
        return kind, [_digest(each, f"{path}[{i}]") for i, each in enumerate(value)]
    if exactly in _SETS:
        return kind, sorted(_digest(each, f"{path}{{..}}") for each in value)
    if exactly is dict:
        return kind, sorted(
            _digest(key, f"{path} key") + _digest(held, f"{path}[{key!r}]")
            for key, held in value.items()
        )
    if exactly in _ARRAYS or isinstance(value, np.generic):
        return kind, _array(np.asarray(value), path)
    if exactly in _TENSORS:
        return kind, _tensor(value, path)
    if isinstance(value, Enum):
        return kind, [_digest(value.name, path), _digest(value.value, f"{path}.value")]
    if isinstance(value, PurePath):
        return kind, [os.fsencode(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, *_BUILT_IN)):
        pieces = [_digest(behaviour(exactly), f"{path} (what {exactly.__name__} does)")]
        for name, piece in sorted(_state(value).items()):
            pieces += [name.encode(), _digest(piece, f"{path}.{name}")]
        return kind, pieces
    raise _no_contents(value, path)


def _is_named_tuple(value: object) -> bool:
    plain = not getattr(value, "__dict__", None)  # nothing but its items
    return isinstance(value, tuple) and hasattr(value, "_fields") and plain


def _state(value: Any) -> dict[str, object]:
    """Return all that a dataclass instance holds, fields and others, but not what it computes."""
    fields = {field.name for field in dataclasses.fields(value)}
    return {
        name: getattr(value, name)
        for name in fields | getattr(value, "__dict__", {}).keys()
        if hasattr(value, name)
        and not isinstance(getattr(type(value), name, None), cached_property)
    }


def _array(array: np.ndarray, path: str) -> list[bytes]:
    dtype = array.dtype
    shape = _digest(array.shape, path)
    if not dtype.hasobject:
        described = repr(np.lib.format.dtype_to_descr(dtype)).encode()
        return [described, shape, array.tobytes()]
    if dtype.names is not None:
        raise _no_contents(array, path)
    # Objects and texts of any length: the array's own bytes are addresses.
    return [dtype.kind.encode(), shape, _digest(array.ravel().tolist(), path)]


def _tensor(tensor: Tensor, path: str) -> list[bytes]:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise _no_contents(tensor, path)
    values = tensor.detach().resolve_conj().resolve_neg().cpu().reshape(-1).contiguous()
    numbers = values.view(torch.uint8).numpy().tobytes()
    return [str(tensor.dtype).encode(), _digest(tuple(tensor.shape), path), numbers]


def _no_contents(value: object, path: str) -> ValueError:
    where = f"At {path.strip().removeprefix('.')}, " if path else ""
    if isinstance(value, FunctionType):
        what = f"{value.__name__} is no dataclass, and a function's name does not say what it does"
    else:
        what = f"a {type(value).__name__} cannot be told from others by its contents"
    return ValueError(
        f"{where}{what}. Accepted are numbers, texts, arrays, tensors, and lists, dicts and "
        "dataclasses of them."
    )
