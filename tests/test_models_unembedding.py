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

from cot_attn.models import ContinuousThoughtModel
from cot_attn.models.unembedding import Workspace, unembed

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


@torch.no_grad()
def test_a_workspace_changes_no_logit_and_hooks_on_the_head_are_called(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    model, workspace = tiny_gpt2_model.bridge.original_model, Workspace()
    for n_rows in (40, 20, 150):
        hidden = torch.randn(n_rows, 2, tiny_gpt2_model.d_model)
        torch.testing.assert_close(unembed(model, hidden, workspace), unembed(model, hidden))
    seen: list[torch.Size] = []

    def double(logits: torch.Tensor, hook: object) -> torch.Tensor:
        seen.append(logits.shape)
        return 2 * logits

    expected = unembed(model, hidden)
    with tiny_gpt2_model.hooks([("unembed.hook_out", double)]):
        doubled = unembed(model, hidden, workspace)
    assert seen == [expected.shape]
    torch.testing.assert_close(doubled, 2 * expected)


@torch.no_grad()
def test_a_bias_of_the_head_is_added_with_a_workspace_too() -> None:
    config = GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4, tie_word_embeddings=False)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.lm_head = torch.nn.Linear(32, 50)
    hidden = torch.randn(40, 32)
    torch.testing.assert_close(unembed(model, hidden, Workspace()), model.lm_head(hidden))


def test_a_workspace_gives_the_same_memory_again() -> None:
    workspace, like = Workspace(), torch.zeros(1)
    first = workspace.take("logits", like, 4, 5)
    assert workspace.take("logits", like, 2, 3).data_ptr() == first.data_ptr()
    assert workspace.take("product", like, 2, 3).data_ptr() != first.data_ptr()
    assert workspace.take("logits", like.double(), 2, 3).dtype == torch.float64
