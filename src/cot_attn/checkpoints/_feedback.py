"""How a feedback is written down and made again; its tensors are stored apart."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cot_attn.checkpoints._kinds import Kinds
from cot_attn.models import loops, soft_thinking
from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.jacobi import Jacobi
from cot_attn.models.latent_head import LatentHead
from cot_attn.models.reembedding import SoftmaxReembedding

_KINDS = Kinds(
    "feedback",
    Feedback,  # type: ignore[type-abstract]  # its subclasses are asked for, none is made of it
    {
        "identity": Identity,
        "projection": Projection,
        "soft thinking": soft_thinking.SoftThinking,
        "sampled": soft_thinking.Sampled,
        "mixture of inputs": soft_thinking.MixtureOfInputs,
        "noisy": loops.Noisy,
        "constant": loops.Constant,
        "linear": loops.Linear,
        "linear rms": loops.LinearRms,
        "rescaled": loops.Rescaled,
        "softmax re-embedding": SoftmaxReembedding,
        "latent head": LatentHead,
        "jacobi": Jacobi,
    },
)


def describe(feedback: Feedback) -> dict[str, Any]:
    """Return a feedback's kind and settings as plain JSON values.

    Raises
    ------
    TypeError
        Where its class does not say its settings.
    """
    settings = {
        name: describe(value) if isinstance(value, Feedback) else value
        for name, value in feedback.settings().items()
    }
    return {"kind": _KINDS.name_of(type(feedback)), **settings}


def rebuilt(described: dict[str, Any]) -> Feedback:
    """Make a feedback from what `describe` returned, its tensors still to be filled.

    Raises
    ------
    ValueError
        Where its class is one of a module that is not imported.
    """
    name, settings = described["kind"], dict(described)
    del settings["kind"]
    kind = _KINDS.find(name, settings)
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
