"""A tiny model whose weights were set by hand, so that the truth about it is known exactly.

Its questions hold one digit x. Thought i holds the digit x + i (modulo 10), made from thought
i - 1 by the feedback. In the last layer, head 0, EOT attends to thought i with a chosen weight,
and copies what it finds into the answer: the digit in the thought with the greatest weight.

The residual stream has parts for what a position is (BOT, thought i, EOT), for the digit that was
read, for BOT's copy of it, for the thoughts' digits and for the answer. Every entry stands twice,
with opposite signs, so that its mean is zero; with a large epsilon a LayerNorm then only scales.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.feedback import Projection
from cot_attn.models.seeds import number
from cot_attn.models.template import Template

N_DIGITS = 10
N_HEADS = 2
EPSILON = 1e8
# Softmax weights other than exp(0): as good as all, and none.
CERTAIN = 40.0
WORDS = ["nothing", *map(str, range(N_DIGITS)), "please", "take", "the", "digit"]
SPECIAL = ["<eos>", "<bot>", "<eot>"]


def handmade_model(weights: Sequence[int | float] = (1, 1, 4, 1, 1, 1)) -> ContinuousThoughtModel:
    """Build a model whose answer reads its thoughts with known weights.

    Parameters
    ----------
    weights
        For each thought, what EOT attends to it with in the last layer's head 0, where every
        question token, BOT and EOT itself have weight 1. The row is the weights divided by their
        sum, so the shares among thoughts are `weights / sum(weights)`. Every other row of that
        head, and every row of head 1 in both layers, is uniform over the positions it can see.

    Returns
    -------
    ContinuousThoughtModel
        Its answer to a question with digit x is (x + j) mod 10, where j is the thought with the
        greatest weight. Another problem's thought (with another digit) in the place of thought i
        breaks the answer when i <= j, with later thoughts recomputed, and only when i = j, with
        later thoughts' inputs frozen.

    Raises
    ------
    ValueError
        Where the greatest weight is not above the sum of the next two, so that a changed thought
        could outvote it, or there are more thoughts than digits.

    Examples
    --------
    >>> handmade_model().generate(["take the digit 3"])
    ['5']
    """
    ranked = sorted(weights, reverse=True)
    if not 1 <= len(weights) <= N_DIGITS or ranked[0] <= sum(ranked[1:3]) or ranked[-1] <= 0:
        raise ValueError(
            f"weights are {list(weights)}; give 1 to {N_DIGITS} numbers above 0, the greatest of "
            "them above the sum of the next two."
        )
    parts = _Parts(len(weights))
    tokenizer = _tokenizer()
    words = tokenizer.get_vocab()
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=128,
        n_embd=parts.d_model,
        n_layer=2,
        n_head=N_HEADS,
        layer_norm_epsilon=EPSILON,
        bos_token_id=None,
        eos_token_id=words["<eos>"],
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        hf_model = GPT2LMHeadModel(config).eval()
        feedback = Projection(parts.d_model, 2 * parts.d_model, layer_norm=False)
    with torch.no_grad():
        _set_language_model(hf_model, parts, weights, words)
        _set_feedback(feedback, parts)
    bridge = TransformerBridge.boot_transformers(
        "handmade", hf_model=hf_model, tokenizer=tokenizer, device="cpu"
    )
    template = Template(bot=(words["<bot>"],), eot=(words["<eot>"],), eos=words["<eos>"])
    return ContinuousThoughtModel(
        bridge, feedback, template, len(weights), tokenizer=tokenizer, name="handmade"
    )


def handmade_problems(
    n: int, weights: Sequence[int | float] = (1, 1, 4, 1, 1, 1), seed: int = 0
) -> list[Problem]:
    """Return problems of mixed lengths for `handmade_model(weights)`, with their right answers."""
    reads = max(range(len(weights)), key=lambda i: weights[i])
    fillers = WORDS[N_DIGITS + 1 :]
    problems = []
    for index in range(n):
        digit = index % N_DIGITS
        words = [fillers[number(seed, index, i) % len(fillers)] for i in range(number(index) % 7)]
        question = " ".join([*words, str(digit)])
        answer = str((digit + reads) % N_DIGITS)
        problems.append(Problem(f"handmade-{seed}-{index}", question, answer, difficulty=reads + 1))
    return problems


class _Parts:
    """Where in the residual stream each thing stands."""

    def __init__(self, n_thoughts: int) -> None:
        self.n_thoughts = n_thoughts
        self.bot = 0
        self.thought = 1
        self.eot = 1 + n_thoughts
        self.read = self.eot + 1
        self.copied = self.read + N_DIGITS
        self.held = self.copied + N_DIGITS
        self.answer = self.held + N_DIGITS
        half = self.answer + N_DIGITS
        # Heads must divide the width, and each needs room for a digit.
        self.half = half + -half % N_HEADS
        self.d_model = 2 * self.half

    def unit(self, index: int) -> Tensor:
        """Return the vector that has 1 at an entry, and -1 at its double."""
        vector = torch.zeros(self.d_model)
        vector[index], vector[index + self.half] = 1.0, -1.0
        return vector

    def reader(self, index: int) -> Tensor:
        """Return the vector whose product with a residual vector is the entry."""
        return self.unit(index) / 2

    def readers(self, indices: Sequence[int]) -> Tensor:
        """Return several readers as rows."""
        return torch.stack([self.reader(index) for index in indices])


def _set_language_model(
    model: GPT2LMHeadModel, parts: _Parts, weights: Sequence[int | float], words: dict[str, int]
) -> None:
    for parameter in model.parameters():
        parameter.zero_()
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.fill_(math.sqrt(EPSILON))
    embedding = model.transformer.wte.weight
    embedding[words["<bot>"]] = parts.unit(parts.bot)
    embedding[words["<eot>"]] = parts.unit(parts.eot)
    for digit in range(N_DIGITS):
        embedding[words[str(digit)]] = parts.unit(parts.read + digit)
        model.lm_head.weight[words[str(digit)]] = parts.reader(parts.answer + digit)
        # Behind a digit the answer ends.
        model.lm_head.weight[words["<eos>"]] += CERTAIN * parts.reader(parts.read + digit)

    d_head = parts.d_model // N_HEADS
    first, last = (block.attn for block in model.transformer.h)
    scale = math.sqrt(d_head)
    # Layer 0, head 0: BOT looks at the digit, thoughts and EOT look at BOT, where none was read.
    digits = parts.readers(range(parts.read, parts.read + N_DIGITS)).sum(dim=0)
    thoughts = parts.readers(range(parts.thought, parts.thought + parts.n_thoughts))
    others = thoughts.sum(dim=0) + parts.reader(parts.eot)
    _attend(first, 0, parts.reader(parts.bot) * scale, CERTAIN * digits, parts)
    _attend(first, 1, others * scale, CERTAIN * parts.reader(parts.bot), parts)
    _copy(first, parts.read, parts.copied, parts)
    # Layer 1, head 0: EOT looks at thought i with its weight.
    chosen = torch.tensor(weights, dtype=torch.float32).log() @ thoughts
    _attend(last, 0, parts.reader(parts.eot) * scale, chosen, parts)
    _copy(last, parts.held, parts.answer, parts)


def _attend(attention: Any, dimension: int, query: Tensor, key: Tensor, parts: _Parts) -> None:
    """Let a dimension of head 0 add (query . x) (key . y) / sqrt(d_head) to the scores."""
    attention.c_attn.weight[:, dimension] = query
    attention.c_attn.weight[:, parts.d_model + dimension] = key


def _copy(attention: Any, source: int, target: int, parts: _Parts) -> None:
    """Let head 0 move digits from one part of the positions it sees to another of its own."""
    for digit in range(N_DIGITS):
        attention.c_attn.weight[:, 2 * parts.d_model + digit] = parts.reader(source + digit)
        attention.c_proj.weight[digit] = parts.unit(target + digit)


def _set_feedback(feedback: Projection, parts: _Parts) -> None:
    """BOT's copy becomes thought 0; thought i, its digit raised by one, becomes thought i + 1."""
    matrix = torch.zeros(parts.d_model, parts.d_model)

    def move(source: int, target: int) -> None:
        matrix.add_(torch.outer(parts.unit(target), parts.reader(source)))

    move(parts.bot, parts.thought)
    for index in range(parts.n_thoughts - 1):
        move(parts.thought + index, parts.thought + index + 1)
    for digit in range(N_DIGITS):
        move(parts.copied + digit, parts.held + digit)
        move(parts.held + digit, parts.held + (digit + 1) % N_DIGITS)
    # gelu(x) - gelu(-x) = x: two halves of opposite sign make the projection linear.
    identity = torch.eye(parts.d_model)
    feedback.expand.weight.copy_(torch.cat([matrix, -matrix]))
    feedback.contract.weight.copy_(torch.cat([identity, -identity], dim=1))
    feedback.expand.bias.zero_()
    feedback.contract.bias.zero_()


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate([*WORDS, *SPECIAL])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="nothing"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", unk_token="nothing"
    )
