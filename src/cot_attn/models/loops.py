"""Ways of making a thought beside those of Coconut and CODI: constants, maps, lengths, noise.

What each paper feeds is in its class. Random numbers come from (seed, problem id, thought), so
neither the batch nor the order of problems changes a run.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cot_attn.models.feedback import Feedback, Hidden, Moment
from cot_attn.models.seeds import generator


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
            for labels in moment.labels(self.seed, "noisy")
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
