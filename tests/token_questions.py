"""Questions of token ids that come back as other ids when their text is tokenised."""

import torch
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from conftest import BUILDERS, wrap
from cot_attn.models import ContinuousThoughtModel, Identity

TOKENS = [[0, 1], [0, 1, 3, 0, 1], [4, 2, 3], [2], [5], [5, 0, 5, 1], [1, 0, 1, 0, 1, 3, 6]]


def merging() -> ContinuousThoughtModel:
    """A model whose tokenizer writes "ab" as one token, and reads it from one or from two."""
    words = ["a", "b", "ab", "c", "abc", " ", "é"]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "b"), ("ab", "c")], unk_token="a"))
    tokenizer.decoder = decoders.Fuse()
    torch.manual_seed(5)
    model = wrap(BUILDERS["gpt2"](), Identity(), 2)
    model.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="c", pad_token="c"
    )
    return model
