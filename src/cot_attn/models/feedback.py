"""From the last hidden state to the next input embedding."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

Hidden = Float[Tensor, "*batch d_model"]


class Feedback(nn.Module, ABC):
    """How a model's last hidden state becomes the thought that it is fed next.

    Its two hook points work like TransformerLens' own: `feedback.hook_in` sees the hidden state
    (after the final norm) and `feedback.hook_out` the vector that is fed. Both fire once for every
    thought, with shape (batch, d_model).
    """

    hook_in: HookPoint
    hook_out: HookPoint

    def __init__(self) -> None:
        super().__init__()
        self.hook_in = HookPoint()
        self.hook_in.name = "feedback.hook_in"
        self.hook_out = HookPoint()
        self.hook_out.name = "feedback.hook_out"

    @abstractmethod
    def transform(self, hidden: Hidden) -> Hidden:
        """Map hidden states to input embeddings."""

    def forward(self, hidden: Hidden) -> Hidden:
        """Map hidden states to input embeddings, through both hook points."""
        fed: Tensor = self.hook_out(self.transform(self.hook_in(hidden)))
        return fed


class Identity(Feedback):
    """Feeds the hidden state back as it is (Coconut; Hao et al. 2024, arXiv:2412.06769).

    Examples
    --------
    >>> import torch
    >>> Identity()(torch.ones(1, 4))
    tensor([[1., 1., 1., 1.]])
    """

    def transform(self, hidden: Hidden) -> Hidden:
        """Return the hidden states unchanged."""
        return hidden


class Projection(Feedback):
    """Linear, exact GELU, Linear and, by default, LayerNorm.

    This is how CODI makes thoughts (Shen et al. 2025, arXiv:2502.21074).

    Parameters
    ----------
    d_model
        Width of the model's residual stream.
    d_hidden
        Width between the two linear maps.
    layer_norm
        Whether a LayerNorm follows.

    Examples
    --------
    >>> import torch
    >>> Projection(d_model=4, d_hidden=8)(torch.ones(2, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(self, d_model: int, d_hidden: int, *, layer_norm: bool = True) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, d_hidden)
        self.gelu = nn.GELU()
        self.contract = nn.Linear(d_hidden, d_model)
        self.norm = nn.LayerNorm(d_model) if layer_norm else nn.Identity()

    def transform(self, hidden: Hidden) -> Hidden:
        """Project the hidden states."""
        projected: Tensor = self.norm(self.contract(self.gelu(self.expand(hidden))))
        return projected
