"""Random models of real shapes, and the problems they are given."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from cot_attn.data import Problem
from cot_attn.models import ContinuousThoughtModel, Feedback, Projection, Template
from cot_attn.models._bridge import bridged

N_THOUGHTS, N_QUESTION, N_ANSWER = 6, 60, 8

SHAPES: dict[str, PretrainedConfig] = {
    "gpt2-124m": GPT2Config(initializer_range=0.04),
    # Llama 3.2 1B with 4 of its 16 layers: width, heads, MLP and vocabulary are the real ones.
    "llama-1b-4-layers": LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=4,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
        initializer_range=0.03,
    ),
    # SmolLM2 135M: many layers, each of little work.
    "smollm2-135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        initializer_range=0.04,
    ),
    "small": GPT2Config(n_embd=128, n_layer=4, n_head=4, vocab_size=2000, initializer_range=0.1),
}
"""The weights are as large as lets another thought change the answer, and float noise change none:
GPT-2 with 0.1 is chaotic, and one problem in twelve changes its answer from float32 to float64."""


@dataclass
class Subject:
    """A model in our hands, and the same weights as a plain Hugging Face model."""

    model: ContinuousThoughtModel
    plain: PreTrainedModel
    feedback: Feedback


def subject(
    name: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    shape: Mapping[str, int] | None = None,
) -> Subject:
    """Build a random model twice from one seed, which answers without ever ending.

    Entries of its configuration may be others than those of its name, such as `n_layer`.
    """
    config = copy.deepcopy(SHAPES[name])
    config.update(dict(shape or {}))
    config.bos_token_id, config.eos_token_id = None, config.vocab_size - 3
    copies = []
    for _ in range(2):
        torch.manual_seed(0)
        copies.append(AutoModelForCausalLM.from_config(config).to(device, dtype).eval())
    feedback = Projection(config.hidden_size, config.hidden_size)
    last = config.vocab_size
    template = Template((last - 2,), (last - 1,), last - 3, suppressed=(last - 3,))
    tokenizer = tokenizer_of(config.vocab_size)
    bridge = bridged(copies[0], tokenizer, name)
    model = ContinuousThoughtModel(
        bridge, feedback, template, N_THOUGHTS, tokenizer=tokenizer, name=name, checkpoint="random"
    )
    return Subject(model, copies[1], feedback)


def problems(n: int, n_words: int = N_QUESTION) -> list[Problem]:
    """Return random questions of one length."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(0, 1000, (n, n_words), generator=generator).tolist()
    return [
        Problem(f"p{i:05d}", " ".join(f"w{word}" for word in row), "1")
        for i, row in enumerate(words)
    ]


def tokenizer_of(size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of words w0, w1, .. up to a size."""
    vocabulary = {f"w{i}": i for i in range(size)}
    # Special tokens are left out of answers, so it must be one that no answer has.
    special = f"w{size - 3}"
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    kinds = dict.fromkeys(("unk_token", "pad_token", "eos_token"), special)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **kinds)
