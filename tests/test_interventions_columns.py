"""Models whose attention is of another kind answer variants as a plain loop does.

Windows and ALiBi count columns; latent attention has values of another width than keys.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from conftest import BOT, EOS, EOT, VOCABULARY, wrap
from cot_attn import Intervention, Problem, run_variants
from cot_attn.interventions import Zero
from cot_attn.models import Identity

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

N_THOUGHTS, N_NEW, WINDOW = 3, 6, 4

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 96,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": EOS,
}
_WINDOW = {**_SIZES, "sliding_window": WINDOW}
_FROM_LAYER_1 = {**_WINDOW, "use_sliding_window": True, "max_window_layers": 1}
_ROUTED = {**_WINDOW, "num_local_experts": 2, "num_experts_per_tok": 1}
_LATENT = {
    **{key: value for key, value in _SIZES.items() if key != "head_dim"},
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 2,
    "num_experts_per_tok": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 2,
    "moe_intermediate_size": 16,
}
FAMILIES = {
    "DeepSeek-V3": ("DeepseekV3Config", _LATENT),
    "Mistral": ("MistralConfig", _WINDOW),
    "Qwen2": ("Qwen2Config", _FROM_LAYER_1),
    "Qwen3": ("Qwen3Config", _FROM_LAYER_1),
    "Gemma 2": ("Gemma2Config", _WINDOW),
    "Gemma 3": ("Gemma3TextConfig", _WINDOW),
    "Phi-3": ("Phi3Config", _WINDOW),
    "StarCoder2": ("Starcoder2Config", _WINDOW),
    "OLMo 3": ("Olmo3Config", _WINDOW),
    "gpt-oss": ("GptOssConfig", _ROUTED),
    "GPT-Neo": (
        "GPTNeoConfig",
        {
            **{key: _SIZES[key] for key in ("vocab_size", "hidden_size", "initializer_range")},
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
            "max_position_embeddings": 96,
            "eos_token_id": EOS,
        },
    ),
    "MPT": (
        "MptConfig",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "n_layers": 2,
            "n_heads": 4,
            "max_seq_len": 96,
            "initializer_range": 0.15,
        },
    ),
    "BLOOM": (
        "BloomConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "n_layer": 2,
            "n_head": 4,
            "initializer_range": 0.15,
            "eos_token_id": EOS,
        },
    ),
}


def built(family: str) -> PreTrainedModel:
    config, settings = FAMILIES[family]
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(**settings), attn_implementation="eager"
    ).eval()
    model.config.architectures = [type(model).__name__]
    return model


@torch.no_grad()
def plain_answer(model: PreTrainedModel, question: list[int], zeroed: int | None) -> list[int]:
    """One question, the whole sequence anew for every step: no cache, no padding, no bridge."""
    embed: nn.Module = model.get_input_embeddings()
    last: Callable[[Tensor], Tensor] = partial(_last_hidden, model)
    sequence = embed(torch.tensor([[*question, BOT]]))
    for index in range(N_THOUGHTS):
        fed = last(sequence) * (index != zeroed)
        sequence = torch.cat([sequence, fed[:, None]], dim=1)
    sequence = torch.cat([sequence, embed(torch.tensor([[EOT]]))], dim=1)
    answer: list[int] = []
    while len(answer) < N_NEW:
        logits = model(inputs_embeds=sequence).logits[0, -1]
        logits[[BOT, EOT]] = -torch.inf
        token = int(logits.argmax())
        if token == EOS:
            break
        answer.append(token)
        sequence = torch.cat([sequence, embed(torch.tensor([[token]]))], dim=1)
    return answer


def _last_hidden(model: PreTrainedModel, sequence: Tensor) -> Tensor:
    hidden: Tensor = model(inputs_embeds=sequence, output_hidden_states=True).hidden_states[-1]
    return hidden[:, -1]


@pytest.mark.parametrize("family", FAMILIES)
def test_variants_answer_as_a_plain_loop(family: str, questions: list[str]) -> None:
    plain = built(family)
    model = wrap(built(family), Identity(), N_THOUGHTS)
    problems = [
        Problem(f"p{i}", text, "w0", answer_type="text") for i, text in enumerate(questions[:3])
    ]
    changes = [Intervention(thought, Zero()) for thought in range(N_THOUGHTS)]
    result = run_variants(
        model, problems, changes, ["answer"], max_new_tokens=N_NEW, only_correct=False
    )
    n_departed = 0
    for row, problem in enumerate(problems):
        _, (tokens,) = model.encode([problem])
        unchanged = plain_answer(plain, tokens, None)
        assert result["baseline_answer"].values[row] == model.decode(unchanged)
        for thought in range(N_THOUGHTS):
            expected = plain_answer(plain, tokens, thought)
            assert result["answer"].values[row, thought] == model.decode(expected)
            n_departed += expected != unchanged
    assert n_departed
