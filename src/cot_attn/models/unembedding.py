"""From hidden states to logits, for as few of them as somebody will read."""

from typing import Any

import torch
from einops import pack, unpack
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

FEW = 16
"""Up to so many rows at once there is nothing to gain from a workspace."""
MANY = 192
"""More rows than these are no quicker together, and need not be kept together."""

Hidden = Float[Tensor, "*batch d_model"]
Logits = Float[Tensor, "*batch d_vocab"]


class Workspace:
    """Memory for logits that are read and then forgotten: large fresh pieces are slow to get."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Return a tensor of some type and shape, whose memory earlier ones of the name had."""
        n_numbers = torch.Size(shape).numel()
        buffer = self._buffers.get(name)
        if buffer is None or buffer.dtype != like.dtype or buffer.numel() < n_numbers:
            buffer = self._buffers[name] = like.new_empty(n_numbers)
        return buffer[:n_numbers].view(shape)


def unembed(model: PreTrainedModel, hidden: Hidden, workspace: Workspace | None = None) -> Logits:
    """Return a language model's logits for hidden states behind its final norm, as float32.

    What some families do behind the unembedding is done too: a soft cap (Gemma), a factor
    (Cohere), a divisor (Granite).

    Parameters
    ----------
    model
        The language model.
    hidden
        The hidden states.
    workspace
        Where the logits may lie, until the next call with it.
    """
    head = model.get_output_embeddings()
    if workspace is not None and _is_plain(head, hidden):
        logits = _product(head.weight, hidden, workspace)
    else:
        logits = head(hidden)
    config = model.config
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits / divisor
    if factor := getattr(config, "logit_scale", None):
        logits = logits * factor
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * (logits / cap).tanh()
    return logits.float()


def _is_plain(head: nn.Module, hidden: Hidden) -> bool:
    """Whether the head is but a matrix product, on a CPU, of many rows, at which nobody looks."""
    # TransformerLens wraps the layer, with hooks at both sides, and gives it a bias of zeros.
    linear = getattr(head, "original_component", head)
    points: list[Any] = [getattr(head, name, None) for name in ("hook_in", "hook_out")]
    if type(linear) is not nn.Linear:
        return False
    bias: Tensor | None = linear.bias
    return (
        not any(point is not None and point.has_hooks() for point in points)
        and (bias is None or not bool(bias.any()))
        and hidden.device.type == "cpu"
        and hidden.shape[:-1].numel() > FEW
    )


def _product(
    weight: Float[Tensor, "d_vocab d_model"], hidden: Hidden, workspace: Workspace
) -> Logits:
    """Return the states' products with the weights.

    Weights times states is a third faster than states times weights, where there are many more
    tokens than states.
    """
    states, batch = pack([hidden], "* d_model")
    n_tokens, n_states = len(weight), len(states)
    logits = workspace.take("logits", states, n_states, n_tokens)
    for few, out in zip(torch.split(states, MANY), torch.split(logits, MANY), strict=True):
        product = workspace.take("product", states, n_tokens, len(few))
        torch.mm(weight, few.T, out=product)
        out.copy_(product.T)
    (per_state,) = unpack(logits, batch, "* d_vocab")
    return per_state
