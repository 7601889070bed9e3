"""A tiny random model whose tokenizer writes numbers digit by digit, with and without a space."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from cot_attn.models import ContinuousThoughtModel, Projection, Template

N_THOUGHTS = 2


def spelling_tokenizer(*joined: tuple[str, str]) -> PreTrainedTokenizerFast:
    """Digits, letters a to h, each of them behind a space as in GPT-2's tokenizer, and pairs."""
    letters = [*"0123456789abcdefgh"]
    pieces = ["<eos>", "<bot>", "<eot>", "Ġ", *letters, *(f"Ġ{letter}" for letter in letters)]
    pieces += map("".join, joined)
    core = Tokenizer(
        models.BPE(
            {piece: number for number, piece in enumerate(pieces)},
            [*(("Ġ", letter) for letter in letters), *joined],
        )
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<eos>", "<bot>", "<eot>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<eos>",
        pad_token="<eos>",
        clean_up_tokenization_spaces=False,
    )


def spelling_model(*joined: tuple[str, str]) -> tuple[ContinuousThoughtModel, GPT2LMHeadModel]:
    """The model, and a plain copy of what is inside."""

    def built() -> GPT2LMHeadModel:
        torch.manual_seed(11)
        config = GPT2Config(
            vocab_size=40 + len(joined),
            n_positions=64,
            n_embd=32,
            n_layer=2,
            n_head=4,
            initializer_range=0.15,
            bos_token_id=None,
            eos_token_id=0,
        )
        return GPT2LMHeadModel(config).eval()

    tokenizer = spelling_tokenizer(*joined)
    bridge = TransformerBridge.boot_transformers(
        "spelling", hf_model=built(), tokenizer=tokenizer, device="cpu"
    )
    template = Template(bot=(1,), eot=(2,), eos=0, suppressed=(1, 2))
    model = ContinuousThoughtModel(
        bridge, Projection(32, 40), template, N_THOUGHTS, tokenizer=tokenizer
    )
    return model, built()
