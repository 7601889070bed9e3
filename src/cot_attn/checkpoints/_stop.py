"""How a stop rule is written down and made again."""

import json
from typing import Any

from torch import nn

from cot_attn.checkpoints._kinds import Kinds
from cot_attn.models.stopping import (
    BinaryHead,
    EntropyBelow,
    SampledSeparator,
    Separator,
    StopRule,
)

_KINDS = Kinds(
    "stop rule",
    StopRule,  # type: ignore[type-abstract]  # its subclasses are asked for, none is made of it
    {
        "entropy below": EntropyBelow,
        "separator": Separator,
        "sampled separator": SampledSeparator,
        "binary head": BinaryHead,
    },
)


def describe_stop(rule: StopRule) -> dict[str, Any]:
    """Return a stop rule's kind and settings as plain JSON values.

    Raises
    ------
    TypeError
        Where its class does not say its settings, or holds what no JSON can.
    """
    kind = type(rule)
    described = {"kind": _KINDS.name_of(kind), **rule.settings()}
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
    return _KINDS.find(name, settings)(**settings)
