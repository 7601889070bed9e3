"""What a training step asks of a toy model.

All problems of a batch have one length and one number of steps, so nothing is padded and the
default position ids are right.
"""

import random
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import DynamicCache, PreTrainedTokenizerFast

from cot_attn.data.sets.toy import draw_problem
from cot_attn.toy.architecture import ToyNetwork
from cot_attn.toy.tokenizer import ANSWER, BOT, EOS, EOT

FRAME_WEIGHT = 0.1  # of each answer token that is not the value


@dataclass(frozen=True)
class Batch:
    """Problems as token ids; the numbers are ids of number tokens too."""

    question: Int[Tensor, "batch question_and_bot"]
    results: Int[Tensor, "batch n_thoughts"]
    answer: Int[Tensor, "batch eot_answer_and_eos"]


def draw_batch(
    rng: random.Random,
    tokenizer: PreTrainedTokenizerFast,
    *,
    size: int,
    steps: int,
    n_thoughts: int,
) -> Batch:
    """Draw training problems with this many steps.

    Thoughts beyond the last step should hold the last result again.
    """
    then, now = rng.random() < 0.5, rng.random() < 0.5
    problems = [draw_problem(rng, steps, "train", then=then, now=now) for _ in range(size)]
    results = [list(p.steps) + [p.steps[-1]] * (n_thoughts - steps) for p in problems]

    def ids(texts: list[str]) -> Tensor:
        return torch.tensor(tokenizer(texts).input_ids)

    return Batch(
        question=ids([p.question + BOT for p in problems]),
        results=torch.tensor([tokenizer.convert_tokens_to_ids(row) for row in results]),
        answer=ids([f"{EOT}{ANSWER.format(p.answer)}{EOS}" for p in problems]),
    )


class DrawnOnce:
    """Draws what `draw_batch` does, once: models of one stream, one after the other, share it."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[int, int, int, int], tuple[Batch, tuple[Any, ...]]] = {}

    def __call__(
        self,
        rng: random.Random,
        tokenizer: PreTrainedTokenizerFast,
        *,
        size: int,
        steps: int,
        n_thoughts: int,
    ) -> Batch:
        """Return the batch that this generator would draw, and leave it as if it had."""
        key = (hash(rng.getstate()), size, steps, n_thoughts)
        if key not in self._drawn:
            batch = draw_batch(rng, tokenizer, size=size, steps=steps, n_thoughts=n_thoughts)
            self._drawn[key] = batch, rng.getstate()
        batch, after = self._drawn[key]
        rng.setstate(after)
        return batch


@dataclass(frozen=True)
class Losses:
    """The terms of the loss.

    `answer` is the cross-entropy of the answer. `result` is that of the next intermediate result,
    read off the hidden state that becomes each thought. `bridge` is how far the thoughts are from
    the embeddings of those results, as a fraction of the embeddings' size.
    """

    answer: Float[Tensor, ""]
    result: Float[Tensor, ""]
    bridge: Float[Tensor, ""]


def explicit_losses(network: ToyNetwork, batch: Batch) -> Losses:
    """Feed the embeddings of the true results where thoughts will stand, in one parallel pass."""
    tokens = torch.cat([batch.question, batch.results, batch.answer[:, :-1]], dim=1)
    hidden = network.language_model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    bot, n_thoughts = batch.question.shape[1] - 1, batch.results.shape[1]
    becoming = hidden[:, bot : bot + n_thoughts]
    return Losses(
        answer=_answer_loss(network, hidden[:, bot + n_thoughts + 1 :], batch),
        result=_result_loss(network, becoming, batch),
        bridge=_bridge_loss(network, network.feedback(becoming), batch),
    )


def latent_losses(network: ToyNetwork, batch: Batch) -> Losses:
    """Let the model think: each thought is its own last hidden state, projected."""
    base = network.language_model.base_model
    embed = network.language_model.get_input_embeddings()
    cache = DynamicCache(config=network.language_model.config)

    def last_hidden(inputs: Tensor) -> Tensor:
        output = base(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
        hidden: Tensor = output.last_hidden_state
        return hidden

    states = [last_hidden(embed(batch.question))[:, -1]]
    thoughts = []
    for _ in range(batch.results.shape[1]):
        thoughts.append(network.feedback(states[-1]))
        states.append(last_hidden(thoughts[-1][:, None])[:, -1])
    becoming = torch.stack(states[:-1], dim=1)
    return Losses(
        answer=_answer_loss(network, last_hidden(embed(batch.answer[:, :-1])), batch),
        result=_result_loss(network, becoming, batch),
        bridge=_bridge_loss(network, torch.stack(thoughts, dim=1), batch),
    )


def direct_losses(network: ToyNetwork, batch: Batch) -> Float[Tensor, ""]:
    """Return the loss of answering at once, without thoughts."""
    tokens = torch.cat([batch.question, batch.answer[:, :-1]], dim=1)
    hidden = network.language_model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    return _answer_loss(network, hidden[:, batch.question.shape[1] :], batch)


def _answer_loss(
    network: ToyNetwork, hidden: Float[Tensor, "batch eot_and_answer d_model"], batch: Batch
) -> Float[Tensor, ""]:
    weights = torch.full(batch.answer[0, 1:].shape, FRAME_WEIGHT)
    weights[-2] = 1.0  # the value comes last, before EOS
    logits = network.language_model.lm_head(hidden)
    scores = rearrange(logits, "batch position d_vocab -> batch d_vocab position")
    losses = cross_entropy(scores, batch.answer[:, 1:], reduction="none")
    return (losses * weights).sum(dim=1).mean()


def _result_loss(
    network: ToyNetwork, becoming: Float[Tensor, "batch n_thoughts d_model"], batch: Batch
) -> Float[Tensor, ""]:
    logits = network.language_model.lm_head(becoming)
    scores = rearrange(logits, "batch n_thoughts d_vocab -> batch d_vocab n_thoughts")
    return cross_entropy(scores, batch.results)


def _bridge_loss(
    network: ToyNetwork, thoughts: Float[Tensor, "batch n_thoughts d_model"], batch: Batch
) -> Float[Tensor, ""]:
    target: Tensor = network.language_model.get_input_embeddings()(batch.results).detach()
    return (thoughts - target).square().mean() / target.square().mean()
