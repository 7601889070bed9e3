"""A head of its own makes thoughts, as it would predict the next embedding."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from cot_attn.models.feedback import Feedback, Hidden, Moment
from cot_attn.models.seeds import generator


class LatentHead(Feedback):
    """Feeds a draw from the Gaussian that a head predicts for the next embedding.

    Compressed Latent Reasoning (CoLaR; Tan et al. 2025, arXiv:2505.16552): with
    x = LayerNorm(W2 gelu(W1 h)), what is fed is scale * (mean(x) + temperature * exp(log_std(x)) *
    epsilon), where mean and log_std are linear and epsilon comes from N(0, 1). Embeddings were
    divided by `scale` for training. The draw depends on (seed, problem id, thought) alone.

    Parameters
    ----------
    d_model
        Width of the model's residual stream.
    d_hidden
        Width between the linear maps.
    scale
        What the head's units are in those of the input embeddings, above 0.
    draws
        Whether the head predicts a standard deviation too; without, its mean is fed.
    temperature
        What the standard deviation is multiplied with; 0 feeds the mean.
    seed
        What else the draws depend on.

    Examples
    --------
    >>> LatentHead(d_model=4, d_hidden=8, scale=0.02, draws=False)(torch.ones(2, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        scale: float,
        *,
        draws: bool = True,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"scale is {scale}; give a number above 0.")
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature is {temperature}; give a number that is 0 or more.")
        self.expand = nn.Linear(d_model, d_hidden)
        self.gelu = nn.GELU()
        self.inner = nn.Linear(d_hidden, d_hidden)
        self.norm = nn.LayerNorm(d_hidden)
        self.mean = nn.Linear(d_hidden, d_model)
        self.log_std = nn.Linear(d_hidden, d_model) if draws else None
        self.scale, self.temperature, self.seed = scale, temperature, seed

    def transform(self, hidden: Hidden) -> Hidden:
        """Return the means of the predicted embeddings."""
        means: Tensor = self.scale * self.mean(self._read(hidden))
        return means

    def make(self, hidden: Hidden, moment: Moment | None) -> Hidden:
        """Return draws from the predicted embeddings, or their means."""
        if self.log_std is None or not self.temperature:
            return self.transform(hidden)
        if moment is None:
            raise TypeError(
                "A LatentHead that draws needs to know the problem. Use it in a "
                "ContinuousThoughtModel, or set its temperature to 0."
            )
        read = self._read(hidden)
        labels = [(self.seed, "latent head", each, moment.thought) for each in moment.problem_ids]
        noise = [torch.randn(hidden.shape[-1], generator=generator(*each)) for each in labels]
        std = self.temperature * self.log_std(read).exp()
        drawn: Tensor = self.scale * (self.mean(read) + std * torch.stack(noise).to(read))
        return drawn

    def _read(self, hidden: Tensor) -> Tensor:
        read: Tensor = self.norm(self.inner(self.gelu(self.expand(hidden))))
        return read

    def settings(self) -> dict[str, Any]:
        """Return widths, scale, and how it draws."""
        return {
            "d_model": self.expand.in_features,
            "d_hidden": self.expand.out_features,
            "scale": self.scale,
            "draws": self.log_std is not None,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def extra_repr(self) -> str:
        """Show scale and how it draws."""
        return f"scale={self.scale}, temperature={self.temperature}, seed={self.seed}"
