"""A sweep's models: loaded as planned, and known by all that their results depend on."""

import hashlib
import json
from typing import Any

from cot_attn.checkpoints.pretrained import named_tensors
from cot_attn.models import ContinuousThoughtModel
from cot_attn.sweeps.plan import ModelSource


def loaded(source: ModelSource, device: str | None = None) -> ContinuousThoughtModel:
    """Load a model."""
    model = ContinuousThoughtModel.from_pretrained(
        source.source, device=device, **dict(source.options)
    )
    if source.name is not None:
        model.name = source.name
    return model


def identity(model: ContinuousThoughtModel) -> dict[str, Any]:
    """Return what the model's results depend on, as plain values.

    Examples
    --------
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> identity(model)["checkpoint"] == model.checkpoint
    True
    """
    config = json.loads(model.bridge.original_model.config.to_json_string())
    for where_from in ("transformers_version", "_name_or_path"):
        config.pop(where_from, None)
    vocabulary = json.dumps(sorted(model.tokenizer.get_vocab().items()))
    return {
        "checkpoint": model.checkpoint,
        "dtype": str(model.dtype),
        "n_thoughts": model.n_thoughts,
        "template": json.loads(json.dumps(model.template.to_dict())),
        "feedback": _hash(repr(model.feedback)),
        "architecture": _hash(json.dumps(config, sort_keys=True)),
        "vocabulary": _hash(vocabulary),
    }


def n_parameters(model: ContinuousThoughtModel) -> int:
    """Return how many weights a model has, its feedback's among them and tied ones once.

    Examples
    --------
    >>> n_parameters(ContinuousThoughtModel.from_pretrained("toy-gpt2"))
    511296
    """
    return sum(
        tensor.numel()
        for tensor in named_tensors(model.bridge.original_model, model.feedback).values()
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
