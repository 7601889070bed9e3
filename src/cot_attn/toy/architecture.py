"""The toy models before training."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from cot_attn.data.sets.toy import HOURS
from cot_attn.models.feedback import Projection

ToyName = Literal["toy-gpt2", "toy-llama"]
N_POSITIONS = 192
INITIAL_SCALE = 0.05


@dataclass(frozen=True)
class Shape:
    """How large a toy model is; by default as the bundled ones.

    Parameters
    ----------
    d_model
        Width of the residual stream, at least 22, so that numbers can begin as points on circles.
    n_layers
        Number of transformer blocks.
    n_heads
        Number of attention heads in a block, an even number that divides the width.
    """

    d_model: int = 96
    n_layers: int = 4
    n_heads: int = 4

    def __post_init__(self) -> None:
        fits = self.n_heads > 0 and self.n_heads % 2 == 0 and self.d_model % (2 * self.n_heads) == 0
        if not fits or self.d_model < HOURS - 1 or self.n_layers < 1:
            raise ValueError(
                f"{self} cannot be built: give at least one layer, an even number of heads, and a "
                f"width of at least {HOURS - 1} that twice their number divides."
            )


class ToyNetwork(nn.Module):
    """A small language model and the projection that makes thoughts of its hidden states.

    Parameters
    ----------
    name
        "toy-gpt2" or "toy-llama".
    tokenizer
        Fixes the vocabulary.
    seed
        The initial weights depend on it and on the shape alone.
    shape
        How large it is.
    """

    language_model: PreTrainedModel
    feedback: Projection

    def __init__(
        self,
        name: ToyName,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        shape: Shape = Shape(),
    ) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.language_model = _language_model(name, tokenizer, shape)
            self.feedback = Projection(shape.d_model, 2 * shape.d_model)
        # Thoughts begin at the scale of the token embeddings.
        assert isinstance(self.feedback.norm, nn.LayerNorm)
        nn.init.constant_(self.feedback.norm.weight, 2 * INITIAL_SCALE)
        _write_fourier_features(self.language_model, tokenizer)


def _language_model(
    name: ToyName, tokenizer: PreTrainedTokenizerFast, shape: Shape
) -> PreTrainedModel:
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    if name == "toy-gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(tokenizer),
                n_positions=N_POSITIONS,
                n_embd=shape.d_model,
                n_layer=shape.n_layers,
                n_head=shape.n_heads,
                activation_function="gelu_pytorch_tanh",  # gelu_new in one fast operation
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                initializer_range=INITIAL_SCALE,
                bos_token_id=eos,
                eos_token_id=eos,
                pad_token_id=pad,
            )
        )
    if name == "toy-llama":
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                max_position_embeddings=N_POSITIONS,
                hidden_size=shape.d_model,
                intermediate_size=3 * shape.d_model,
                num_hidden_layers=shape.n_layers,
                num_attention_heads=shape.n_heads,
                num_key_value_heads=shape.n_heads // 2,
                tie_word_embeddings=True,
                initializer_range=INITIAL_SCALE,
                bos_token_id=eos,
                eos_token_id=eos,
                pad_token_id=pad,
            )
        )
    raise ValueError(f"{name!r} is no toy model. There are 'toy-gpt2' and 'toy-llama'.")


@torch.no_grad()
def _write_fourier_features(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Let the embeddings of 0..22 begin as points on circles, which suits arithmetic modulo 23."""
    values = torch.arange(HOURS)
    rows = torch.tensor(tokenizer.convert_tokens_to_ids([str(int(value)) for value in values]))
    turns = torch.arange(1, HOURS // 2 + 1)
    angles = 2 * math.pi / HOURS * values[:, None] * turns
    features = torch.cat([angles.cos(), angles.sin()], dim=1)
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    embedding.weight[rows, : features.shape[1]] = 2 * INITIAL_SCALE * features
