"""How a feedback is written down and made again; its tensors are stored apart.

A class of one's own is named, never imported: the folder of somebody else runs no code here.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cot_attn.models import loops
from cot_attn.models.feedback import Feedback, Identity, Projection

_KINDS: dict[str, type[Feedback]] = {
    "identity": Identity,
    "projection": Projection,
    "soft thinking": loops.SoftThinking,
    "sampled": loops.Sampled,
    "mixture of inputs": loops.MixtureOfInputs,
    "noisy": loops.Noisy,
    "constant": loops.Constant,
    "linear": loops.Linear,
    "linear rms": loops.LinearRms,
    "rescaled": loops.Rescaled,
}


def describe(feedback: Feedback) -> dict[str, Any]:
    """Return a feedback's kind and settings as plain JSON values.

    Raises
    ------
    TypeError
        Where its class does not say its settings.
    """
    kinds = {kind: name for name, kind in _KINDS.items()}
    kind = type(feedback)
    settings = {
        name: describe(value) if isinstance(value, Feedback) else value
        for name, value in feedback.settings().items()
    }
    return {"kind": kinds.get(kind, f"{kind.__module__}.{kind.__qualname__}"), **settings}


def rebuilt(described: dict[str, Any]) -> Feedback:
    """Make a feedback from what `describe` returned, its tensors still to be filled.

    Raises
    ------
    ValueError
        Where its class is one of a module that is not imported.
    """
    name, settings = described["kind"], dict(described)
    del settings["kind"]
    kind = _KINDS.get(name) or _own_classes().get(name)
    if kind is None:
        module = name.rpartition(".")[0]
        raise ValueError(
            f"The model was saved with the feedback {name}({settings}), which is not part of "
            f"cot-attn. Import what defines it (module {module!r}) and load again."
        )
    return kind(
        **{
            key: rebuilt(value) if isinstance(value, dict) and "kind" in value else value
            for key, value in settings.items()
        }
    )


def projection_of(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> Projection:
    """Make a projection from a checkpoint's tensors, given what each of its layers is called there.

    It ends with a LayerNorm where there is one among the tensors.
    """
    found = {
        f"{names[layer]}.{parameter}": tensor
        for key, tensor in tensors.items()
        for layer, _, parameter in [key.rpartition(".")]
        if layer in names
    }
    d_hidden, d_model = found["expand.weight"].shape
    projection = Projection(d_model, d_hidden, layer_norm="norm.weight" in found)
    projection.load_state_dict(found)
    return projection.requires_grad_(False)


def _own_classes() -> dict[str, type[Feedback]]:
    """Return every feedback class that is imported, by module and name."""
    found: dict[str, type[Feedback]] = {}
    left = Feedback.__subclasses__()
    while left:
        kind = left.pop()
        found[f"{kind.__module__}.{kind.__qualname__}"] = kind
        left += kind.__subclasses__()
    return found
