"""Loops that read the vocabulary: mixtures of token embeddings, as the unembedding weighs them.

What each paper feeds is in its class. Random numbers come from (seed, problem id, thought), so
neither the batch nor the order of problems changes a run.
"""

import math
from abc import abstractmethod
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from cot_attn.models.feedback import Feedback, Hidden, Moment, Weights
from cot_attn.models.seeds import generator


class ReadingFeedback(Feedback):
    """A loop that reads its hidden state with the model's own unembedding.

    It makes thoughts inside a run only, since it needs the model: write `read`.
    """

    def transform(self, hidden: Hidden) -> Hidden:
        """Say that the hidden state is not enough."""
        raise TypeError(
            f"{type(self).__name__} needs the model beside the hidden state. Use it in a "
            "ContinuousThoughtModel, or call it with a Moment."
        )

    def make(self, hidden: Hidden, moment: Moment | None) -> Hidden:
        """Make thoughts from hidden states and the model that they are of."""
        return self.transform(hidden) if moment is None else self.read(hidden, moment)

    @abstractmethod
    def read(self, hidden: Hidden, moment: Moment) -> Hidden:
        """Make thoughts from hidden states and the model that they are of."""


class SoftThinking(ReadingFeedback):
    """Feeds the probability-weighted mixture of all token embeddings.

    The concept token of Soft Thinking (Zhang et al. 2025, arXiv:2505.15778): with the softmax c of
    the logits over `temperature`, after top-k and then top-p filtering and renormalisation, what is
    fed is sum_k c[k] e(k), where e(k) is the input embedding of token k. Nothing is trained. Their
    stop at low entropy (Cold Stop) is a rule of its own, `EntropyBelow`.

    Parameters
    ----------
    temperature
        What the logits are divided by, above 0.
    top_k
        How many tokens remain; by default all.
    top_p
        The mass that the likeliest tokens that remain just reach; 1 keeps all.

    Examples
    --------
    >>> import cot_attn
    >>> toy = cot_attn.ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> model = cot_attn.ContinuousThoughtModel(
    ...     toy.bridge, SoftThinking(top_k=5), toy.template, n_thoughts=2, tokenizer=toy.tokenizer
    ... )
    >>> model.think(["3 + 4"]).thoughts.shape
    torch.Size([1, 2, 96])
    """

    def __init__(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
    ) -> None:
        super().__init__()
        if not temperature > 0 or not math.isfinite(temperature):
            raise ValueError(f"temperature is {temperature}; give a number above 0.")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}; give at least 1, or None for all tokens.")
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p is {top_p}; give a number above 0, at most 1.")
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p

    def weights(self, logits: Weights) -> Weights:
        """Return the filtered probabilities of tokens, which sum to 1."""
        weights = (logits / self.temperature).softmax(dim=-1)
        if self.top_k is not None and self.top_k < weights.shape[-1]:
            kept = torch.zeros_like(weights, dtype=torch.bool)
            kept.scatter_(-1, weights.topk(self.top_k, dim=-1).indices, True)
            weights = _renormalised(weights, kept)
        if self.top_p < 1:
            ordered, order = weights.sort(dim=-1, descending=True, stable=True)
            before = ordered.cumsum(dim=-1) - ordered  # the mass of the likelier ones
            kept = torch.zeros_like(weights, dtype=torch.bool)
            kept.scatter_(-1, order, before < self.top_p)
            weights = _renormalised(weights, kept)
        return weights

    def read(self, hidden: Hidden, moment: Moment) -> Hidden:
        """Return the mixture of token embeddings."""
        return moment.mixture(self.weights(moment.logits(hidden)))

    def settings(self) -> dict[str, Any]:
        """Return temperature and filters."""
        return {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}

    def extra_repr(self) -> str:
        """Show the settings."""
        return ", ".join(f"{name}={value}" for name, value in self.settings().items())


class Sampled(SoftThinking):
    """Feeds the embedding of one token, drawn from the filtered probabilities.

    The discrete counterpart of `SoftThinking`: an ordinary chain of thought of fixed length, whose
    words are fed and not shown. The draw depends on (seed, problem id, thought) alone.

    Parameters
    ----------
    temperature, top_k, top_p
        As in `SoftThinking`; with `top_k=1` it is greedy.
    seed
        What else the draws depend on.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(temperature, top_k, top_p)
        self.seed = seed

    def draw(self, weights: Weights, moment: Moment) -> Int[Tensor, " batch"]:
        """Return one token id for each problem."""
        numbers = [
            torch.rand(1, generator=generator(*labels), dtype=torch.float64)
            for labels in moment.labels(self.seed, "sampled")
        ]
        reached = weights.double().cumsum(dim=-1)
        goal = torch.cat(numbers).to(reached.device)[:, None] * reached[:, -1:]
        found = torch.searchsorted(reached, goal, right=True)
        return rearrange(found, "batch 1 -> batch").clamp(max=weights.shape[-1] - 1)

    def read(self, hidden: Hidden, moment: Moment) -> Hidden:
        """Return the embeddings of the tokens that are drawn."""
        weights = self.weights(moment.logits(hidden))
        return moment.mixture(_one_hot(self.draw(weights, moment), weights))

    def settings(self) -> dict[str, Any]:
        """Return temperature, filters and seed."""
        return {**super().settings(), "seed": self.seed}


class MixtureOfInputs(Sampled):
    """Feeds a mixture of the token that is drawn and the distribution that it is drawn from.

    Mixture of Inputs (Zhuang et al. 2025, arXiv:2505.14827): the distribution p is a Dirichlet
    prior whose strength is its normalised entropy H = -sum p log p / log V, the drawn token y one
    observation. What is fed is sum_i w_i e(i) with the posterior mean
    w_i = (H p_i + (beta + 1 - H) y_i) / (beta + 1). Nothing is trained.

    Parameters
    ----------
    beta
        How much the drawn token counts, 0 or more: with 0 it is a mixture by entropy, with a large
        one `Sampled`.
    temperature, top_k, top_p, seed
        As in `Sampled`.
    """

    def __init__(
        self,
        beta: float = 1.0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(temperature, top_k, top_p, seed=seed)
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta is {beta}; give a number that is 0 or more.")
        self.beta = beta

    def read(self, hidden: Hidden, moment: Moment) -> Hidden:
        """Return the posterior mixture of token embeddings."""
        prior = self.weights(moment.logits(hidden))
        drawn = _one_hot(self.draw(prior, moment), prior)
        entropy = torch.special.entr(prior).sum(dim=-1, keepdim=True) / math.log(prior.shape[-1])
        weights = (entropy * prior + (self.beta + 1 - entropy) * drawn) / (self.beta + 1)
        return moment.mixture(weights)

    def settings(self) -> dict[str, Any]:
        """Return beta and what `Sampled` has."""
        return {"beta": self.beta, **super().settings()}


def _renormalised(weights: Weights, kept: Tensor) -> Weights:
    weights = weights.where(kept, 0.0)
    return weights / weights.sum(dim=-1, keepdim=True)


def _one_hot(tokens: Int[Tensor, " batch"], like: Weights) -> Weights:
    return torch.zeros_like(like).scatter_(-1, tokens[:, None], 1.0)
