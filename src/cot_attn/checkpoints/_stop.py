"""How a stop rule is written down and made again.

A class of one's own is named, never imported: the folder of somebody else runs no code here.
"""

import json
from typing import Any

from torch import nn

from cot_attn.models.stopping import BinaryHead, EntropyBelow, Separator, StopRule

_KINDS: dict[str, type[StopRule]] = {
    "entropy below": EntropyBelow,
    "separator": Separator,
    "binary head": BinaryHead,
}


def describe_stop(rule: StopRule) -> dict[str, Any]:
    """Return a stop rule's kind and settings as plain JSON values.

    Raises
    ------
    TypeError
        Where its class does not say its settings, or holds what no JSON can.
    """
    kinds = {kind: name for name, kind in _KINDS.items()}
    kind = type(rule)
    described = {"kind": kinds.get(kind, _name(kind)), **rule.settings()}
    try:
        json.dumps(described)
    except TypeError as error:
        raise TypeError(f"The stop rule {rule!r} cannot be stored: {error}.") from error
    if isinstance(rule, nn.Module) and rule.state_dict():
        raise TypeError(
            f"The stop rule {kind.__name__} has tensors, which are not stored with a model. Save "
            "the model with model.stop = None, and its rule beside it."
        )
    return described


def rebuilt_stop(described: dict[str, Any]) -> StopRule:
    """Make a stop rule from what `describe_stop` returned.

    Raises
    ------
    ValueError
        Where its class is one of a module that is not imported.
    """
    settings = dict(described)
    name = settings.pop("kind")
    kind = _KINDS.get(name) or _own_classes().get(name)
    if kind is None:
        module = name.rpartition(".")[0]
        raise ValueError(
            f"The model was saved with the stop rule {name}({settings}), which is not part of "
            f"cot-attn. Import what defines it (module {module!r}) and load again."
        )
    return kind(**settings)


def _own_classes() -> dict[str, type[StopRule]]:
    """Return every stop rule that is imported, by module and name."""
    found: dict[str, type[StopRule]] = {}
    left = StopRule.__subclasses__()
    while left:
        kind = left.pop()
        found[_name(kind)] = kind
        left += kind.__subclasses__()
    return found


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
