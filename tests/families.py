"""Tiny random models of families whose attention differs from that of GPT-2 and Llama."""

from collections.abc import Callable
from functools import partial

import torch
import transformers
from transformers import PreTrainedModel

from conftest import EOS, VOCABULARY

_TOKENS = {
    "vocab_size": VOCABULARY,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": EOS,
}
_LARGE = {"initializer_range": 0.2}
_GPT = {"n_positions": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, **_LARGE}
_WIDE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    **_LARGE,
}
_GATED = {**_WIDE, "intermediate_size": 48, "num_key_value_heads": 2, "tie_word_embeddings": True}
_SMALL_HEADS = {**_GATED, "head_dim": 8}


def _built(config: str, **settings: object) -> PreTrainedModel:
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(**_TOKENS, **settings), attn_implementation="eager"
    )
    model.config.architectures = [type(model).__name__]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # norms and biases, which start as ones and zeros
                parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


WITHOUT_CACHE = partial(_built, "OpenAIGPTConfig", **_GPT)
"""Sees only what is fed at once, whatever was fed before."""

FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    name: partial(_built, config, **settings)
    for name, (config, settings) in {
        # Hugging Face's own attention is kept, and its scores cannot be changed.
        "opt": (
            "OPTConfig",
            {
                "hidden_size": 32,
                "ffn_dim": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": 96,
                "word_embed_proj_dim": 32,
                "init_std": 0.2,
            },
        ),
        "gpt_neo": (
            "GPTNeoConfig",
            {
                **_GPT,
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 4,
                "attention_types": [[["global"], 2]],
                "intermediate_size": 48,
                "max_position_embeddings": 96,
            },
        ),
        "xglm": (
            "XGLMConfig",
            {
                "d_model": 32,
                "ffn_dim": 48,
                "num_layers": 2,
                "attention_heads": 4,
                "max_position_embeddings": 96,
                "scale_embedding": False,
                "init_std": 0.2,
            },
        ),
        # Attention and MLP side by side.
        "gptj": ("GPTJConfig", {**_GPT, "rotary_dim": 4}),
        "codegen": ("CodeGenConfig", {**_GPT, "rotary_dim": 4}),
        "falcon": ("FalconConfig", {**_WIDE, "multi_query": True, "parallel_attn": True}),
        # Positions as a slope of the scores.
        "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4, **_LARGE}),
        "mpt": ("MptConfig", {"d_model": 32, "n_layers": 2, "n_heads": 4, **_LARGE}),
        # Keys shared by heads.
        "gpt_bigcode": ("GPTBigCodeConfig", {**_GPT, "multi_query": True}),
        # Scores that are capped, queries and keys that are normed.
        "gemma2": (
            "Gemma2Config",
            {
                **_SMALL_HEADS,
                "attn_logit_softcapping": 2.0,
                "final_logit_softcapping": 3.0,
                "query_pre_attn_scalar": 8,
            },
        ),
        "qwen3": ("Qwen3Config", _SMALL_HEADS),
        "olmo2": ("Olmo2Config", _GATED),
    }.items()
}
