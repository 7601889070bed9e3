"""The two toy models before training."""

import math
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
D_MODEL = 96
N_LAYERS = 4
N_HEADS = 4
N_POSITIONS = 192
INITIAL_SCALE = 0.05


class ToyNetwork(nn.Module):
    """A small language model and the projection that makes thoughts of its hidden states.

    Parameters
    ----------
    name
        "toy-gpt2" or "toy-llama".
    tokenizer
        Fixes the vocabulary.
    seed
        The initial weights depend on it alone.
    """

    language_model: PreTrainedModel
    feedback: Projection

    def __init__(self, name: ToyName, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.language_model = _language_model(name, tokenizer)
            self.feedback = Projection(D_MODEL, 2 * D_MODEL)
        # Thoughts begin at the scale of the token embeddings.
        assert isinstance(self.feedback.norm, nn.LayerNorm)
        nn.init.constant_(self.feedback.norm.weight, 2 * INITIAL_SCALE)
        _write_fourier_features(self.language_model, tokenizer)


def _language_model(name: ToyName, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    if name == "toy-gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(tokenizer),
                n_positions=N_POSITIONS,
                n_embd=D_MODEL,
                n_layer=N_LAYERS,
                n_head=N_HEADS,
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
                hidden_size=D_MODEL,
                intermediate_size=3 * D_MODEL,
                num_hidden_layers=N_LAYERS,
                num_attention_heads=N_HEADS,
                num_key_value_heads=N_HEADS // 2,
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
