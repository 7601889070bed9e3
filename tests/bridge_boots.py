"""A bridge takes half the time round a tiny model: what TransformerLens does at length is shorter.

It asks every module for all its attributes, methods too, to find hooks; and for each layer it
copies a block with its thousands of dictionaries, nearly all of them empty.
"""

import copy
from collections import OrderedDict
from functools import cache
from inspect import getattr_static
from types import FunctionType
from typing import Any

from torch import nn
from transformer_lens.model_bridge import transformer_bridge

METHODS = (FunctionType, staticmethod, classmethod)


def attributes(module: nn.Module) -> list[str]:
    """Return what `dir` does, without methods and private names, among which is no hook."""
    own = (*vars(module), *module._parameters, *module._modules, *module._buffers)
    return sorted({*_of_class(type(module)), *(name for name in own if not name[0].isdigit())})


@cache
def _of_class(kind: type) -> list[str]:
    public = [name for name in dir(kind) if not name.startswith("_")]
    return [name for name in public if not isinstance(getattr_static(kind, name), METHODS)]


def copied(given: OrderedDict[Any, Any], memo: dict[int, Any]) -> OrderedDict[Any, Any]:
    """Copy a dictionary and what is in it, without asking how it would be written to a file."""
    copies = memo[id(given)] = OrderedDict()
    for key, value in given.items():
        copies[copy.deepcopy(key, memo)] = copy.deepcopy(value, memo)
    return copies


def make_affordable() -> None:
    transformer_bridge.dir = attributes  # type: ignore[attr-defined]
    copy._deepcopy_dispatch[OrderedDict] = copied  # type: ignore[attr-defined]
