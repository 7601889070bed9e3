"""Logits of chosen hidden states are those that a family's own forward pass gives."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
)

from cot_attn.models.unembedding import unembed

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4),
        LlamaConfig(**SIZES),
        Gemma2Config(**SIZES, final_logit_softcapping=0.2),
        CohereConfig(**SIZES, logit_scale=0.3),
        GraniteConfig(**SIZES, logits_scaling=4.0),
    ],
    ids=lambda config: config.model_type,
)
@torch.no_grad()
def test_logits_are_those_of_the_familys_own_forward_pass(config: object) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    tokens = torch.arange(12).view(2, 6)
    hidden = model.base_model(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(unembed(model, hidden), model(input_ids=tokens).logits)
