"""Ways of making a thought beside those of Coconut and CODI: mixtures, constants, maps, noise.

What each paper feeds is in its class. Random numbers come from (seed, problem id, thought), so
neither the batch nor the order of problems changes a run.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

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
            for labels in _labels(self.seed, "sampled", moment)
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


class Noisy(Feedback):
    """Adds Gaussian noise to what another loop feeds.

    Additive noise of fixed size on thoughts, as for sampling several chains of one problem (You et
    al. 2025, arXiv:2510.07745): h + std * epsilon with epsilon from N(0, 1). The noise depends on
    (seed, problem id, thought) alone.

    Parameters
    ----------
    loop
        What makes the thoughts.
    std
        The noise's standard deviation, in the units of the input embeddings.
    seed
        What else the noise depends on.

    Examples
    --------
    >>> import torch
    >>> from cot_attn.models import Identity, Moment
    >>> Noisy(Identity(), std=0.5).settings()["std"]
    0.5
    """

    def __init__(self, loop: Feedback, std: float, *, seed: int = 0) -> None:
        super().__init__()
        if not 0 <= std < math.inf:
            raise ValueError(f"std is {std}; give a number that is 0 or more.")
        self.loop, self.std, self.seed = loop, std, seed

    def transform(self, hidden: Hidden) -> Hidden:
        """Say that the hidden state is not enough."""
        raise TypeError("Noisy needs to know the problem. Use it in a ContinuousThoughtModel.")

    def make(self, hidden: Hidden, moment: Moment | None) -> Hidden:
        """Return what the other loop makes, and noise."""
        if moment is None:
            return self.transform(hidden)
        made = self.loop.make(hidden, moment)
        noise = [
            torch.randn(made.shape[-1], generator=generator(*labels))
            for labels in _labels(self.seed, "noisy", moment)
        ]
        return made + self.std * torch.stack(noise).to(made)

    def settings(self) -> dict[str, Any]:
        """Return size and seed of the noise; the other loop is stored by itself."""
        return {"loop": self.loop, "std": self.std, "seed": self.seed}

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"std={self.std}, seed={self.seed}"


class Constant(Feedback):
    """Feeds the same vector whatever was thought: pause tokens.

    Pause tokens (Goyal et al. 2024, arXiv:2310.02226) feed the embedding of one token; controls of
    Coconut that have its curriculum feed one learnt pause embedding instead. Nothing travels from
    thought to thought but by attention.

    Parameters
    ----------
    vector
        What is fed, such as the embedding of a token.

    Examples
    --------
    >>> import torch
    >>> Constant([1.0, 2.0])(torch.zeros(2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """

    vector: Tensor

    def __init__(self, vector: Float[Tensor, " d_model"] | Sequence[float]) -> None:
        super().__init__()
        values = torch.as_tensor(vector).detach().clone().float()
        if values.ndim != 1 or not values.isfinite().all():
            raise ValueError(
                f"The vector has shape {tuple(values.shape)} and is to be one row of finite "
                "numbers, as long as the model is wide."
            )
        self.register_buffer("vector", values)

    def transform(self, hidden: Hidden) -> Hidden:
        """Return the vector for each row."""
        if hidden.shape[-1] != len(self.vector):
            raise ValueError(
                f"The vector that is fed has {len(self.vector)} numbers; the model is "
                f"{hidden.shape[-1]} wide."
            )
        return self.vector.to(hidden.dtype).expand(hidden.shape)

    def settings(self) -> dict[str, Any]:
        """Return zeros: the vector is stored as a tensor."""
        return {"vector": [0.0] * len(self.vector)}


class Linear(Feedback):
    """A linear map and, where asked for, a LayerNorm.

    Maps from hidden state to embedding that are learnt (adaptive latent reasoning,
    arXiv:2511.21581; HCoT and SoftCoT use one too): W h + b, then LayerNorm.

    Parameters
    ----------
    d_model
        Width of the model's residual stream.
    bias
        Whether there is a b.
    layer_norm
        Whether a LayerNorm follows.
    """

    def __init__(self, d_model: int, *, bias: bool = True, layer_norm: bool = False) -> None:
        super().__init__()
        self.map = nn.Linear(d_model, d_model, bias=bias)
        self.norm = nn.LayerNorm(d_model) if layer_norm else nn.Identity()

    def transform(self, hidden: Hidden) -> Hidden:
        """Map the hidden states."""
        mapped: Tensor = self.norm(self.map(hidden))
        return mapped

    def settings(self) -> dict[str, Any]:
        """Return the width and which parts there are."""
        return {
            "d_model": self.map.in_features,
            "bias": self.map.bias is not None,
            "layer_norm": isinstance(self.norm, nn.LayerNorm),
        }


class LinearRms(Feedback):
    """A linear map, an RMSNorm and a bias behind it.

    As adaptive latent reasoning (arXiv:2511.21581) has it: w * x / sqrt(mean(x^2)) + c of
    x = W h + b.

    Parameters
    ----------
    d_model
        Width of the model's residual stream.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.map = nn.Linear(d_model, d_model)
        self.norm = nn.RMSNorm(d_model)
        self.bias = nn.Parameter(torch.zeros(d_model))

    def transform(self, hidden: Hidden) -> Hidden:
        """Map the hidden states."""
        mapped: Tensor = self.norm(self.map(hidden)) + self.bias
        return mapped

    def settings(self) -> dict[str, Any]:
        """Return the width."""
        return {"d_model": self.map.in_features}


class Rescaled(Feedback):
    """Feeds the hidden state with the norm of a typical token embedding.

    Hidden states are often far longer than embeddings, which models that were never trained to be
    fed them take badly: `h * norm / |h|`.

    Parameters
    ----------
    norm
        The length of what is fed; by default the mean length of the model's token embeddings.
    """

    def __init__(self, norm: float | None = None) -> None:
        super().__init__()
        if norm is not None and not 0 < norm < math.inf:
            raise ValueError(f"norm is {norm}; give a number above 0, or None.")
        self.norm = norm

    def transform(self, hidden: Hidden) -> Hidden:
        """Return the hidden states at the given length."""
        if self.norm is None:
            raise TypeError(
                "Rescaled() takes its length from the model. Use it in a ContinuousThoughtModel, "
                "or give norm=."
            )
        return self._at(hidden, torch.tensor(self.norm))

    def make(self, hidden: Hidden, moment: Moment | None) -> Hidden:
        """Return the hidden states at the length of embeddings."""
        if self.norm is not None or moment is None:
            return self.transform(hidden)
        return self._at(hidden, moment.embedding_norm())

    def _at(self, hidden: Tensor, norm: Tensor) -> Tensor:
        tiny = torch.finfo(hidden.dtype).tiny
        length: Tensor = hidden.norm(dim=-1, keepdim=True)
        return hidden * norm.to(hidden) / length.clamp(min=tiny)

    def settings(self) -> dict[str, Any]:
        """Return the length."""
        return {"norm": self.norm}

    def extra_repr(self) -> str:
        """Show the length."""
        return f"norm={self.norm}"


def _renormalised(weights: Weights, kept: Tensor) -> Weights:
    weights = weights.where(kept, 0.0)
    return weights / weights.sum(dim=-1, keepdim=True)


def _one_hot(tokens: Int[Tensor, " batch"], like: Weights) -> Weights:
    return torch.zeros_like(like).scatter_(-1, tokens[:, None], 1.0)


def _labels(seed: int, what: str, moment: Moment) -> list[tuple[object, ...]]:
    return [(seed, what, problem, moment.thought) for problem in moment.problem_ids]
