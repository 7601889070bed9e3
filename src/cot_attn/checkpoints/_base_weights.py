"""A checkpoint that holds what was trained alone is completed with its base's own weights."""

from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM

from cot_attn.checkpoints._base import Base
from cot_attn.checkpoints._build import untied_names
from cot_attn.checkpoints._lora import find_lora
from cot_attn.checkpoints._trained_tokens import TOKENS, with_trained_tokens
from cot_attn.checkpoints._weights import Weights

WRAPPED = "base_model.model."
"""What peft puts before every name."""


def with_base_weights(weights: Weights, base: Base, prefix: str) -> Weights:
    """Return weights with those of the base beside them, by the names that peft would store.

    What the checkpoint has itself stays.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    base
        The model that it was trained from, whose weights are read.
    prefix
        How the keys of the language model begin.

    Raises
    ------
    FileNotFoundError
        Where the base has no weights, or they cannot be read.
    """
    prefix += WRAPPED
    trained = {
        key.removeprefix(prefix): tensor
        for key, tensor in weights.tensors.items()
        if key.startswith(prefix) and TOKENS not in key
    }
    lora = find_lora(trained, weights.where)
    try:
        model = AutoModelForCausalLM.from_pretrained(base.source, dtype=torch.float32)
    except (OSError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise FileNotFoundError(
            f"{weights.where} holds what was trained alone, and the weights of base="
            f"{base.source!r} cannot be read: {cause}. Give as base= the folder or hub id of the "
            "model that it was trained from, with its weights."
        ) from error
    tensors = model.state_dict()
    of_base = {
        prefix + (lora.key(name) if lora else name): tensors[name] for name in untied_names(model)
    }
    return replace(weights, tensors=with_trained_tokens(of_base | weights.tensors, weights))
