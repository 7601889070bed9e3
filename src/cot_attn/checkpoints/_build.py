"""From a configuration and tensors to a language model."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights


def blank_model(config: PretrainedConfig) -> PreTrainedModel:
    """Return a model of names and shapes alone, which takes no memory."""
    with torch.device("meta"), no_init_weights():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.tie_weights()  # which is part of the initialisation
    return model


def untied_names(model: nn.Module) -> list[str]:
    """Return the names in a model's state dict, leaving out those that repeat another's tensor."""
    names = [name for name, _ in model.named_parameters()]
    buffers = [name for name, _ in model.named_buffers()]
    stored = model.state_dict().keys()
    return [name for name in [*names, *buffers] if name in stored]


def tied_names(model: nn.Module) -> dict[str, str]:
    """Return the names that repeat another's tensor, with the name of the other."""
    tensors = model.state_dict(keep_vars=True)
    first = {id(tensors[name]): name for name in untied_names(model)}
    return {
        name: first[id(tensor)]
        for name, tensor in tensors.items()
        if first.get(id(tensor), name) != name
    }


def embedding_name(model: PreTrainedModel) -> str:
    """Return the name of the input embedding's weight."""
    weight = model.get_input_embeddings().weight
    return next(name for name, each in model.named_parameters() if each is weight)


def copied(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Yield copies in a type one by one: a file's own tensors may be mapped from the disk."""
    yield from ((name, tensor.to(dtype, copy=True)) for name, tensor in tensors.items())


def language_model(
    config: PretrainedConfig, tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype
) -> PreTrainedModel:
    """Return a Hugging Face model in a floating-point type, whose own the tensors become.

    They must be all of its untied ones, and are taken one by one: no more than one of them is there
    in another type at the same time. Nothing is initialised at random, so the caller's random
    numbers stay as they were.
    """
    with no_init_weights():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, attn_implementation="eager", dtype=torch.float32
        )
    state = {name: tensor.to(dtype) for name, tensor in tensors}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    assert set(untied_names(model)) == state.keys()
    model.requires_grad_(False)
    model.eval()
    return model
