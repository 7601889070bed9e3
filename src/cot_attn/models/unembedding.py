"""From hidden states to logits, for as few of them as somebody will read."""

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel


def unembed(
    model: PreTrainedModel, hidden: Float[Tensor, "*batch d_model"]
) -> Float[Tensor, "*batch d_vocab"]:
    """Return a language model's logits for hidden states behind its final norm, as float32.

    What some families do behind the unembedding is done too: a soft cap (Gemma), a factor
    (Cohere), a divisor (Granite).
    """
    logits: Tensor = model.get_output_embeddings()(hidden)
    config = model.config
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits / divisor
    if factor := getattr(config, "logit_scale", None):
        logits = logits * factor
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * (logits / cap).tanh()
    return logits.float()
