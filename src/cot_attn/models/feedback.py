"""From the last hidden state to the next input embedding."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint
from transformers import PreTrainedModel

from cot_attn.models.unembedding import unembed

Hidden = Float[Tensor, "*batch d_model"]
Weights = Float[Tensor, "*batch d_vocab"]


@dataclass(frozen=True)
class Moment:
    """Where in a run a thought is made, for loops that need more than the hidden state.

    Attributes
    ----------
    language_model
        The Hugging Face model that thinks.
    problem_ids
        What the rows are about, in order.
    thought
        Which thought is made, counted from 0.
    earlier
        The hidden states that the thoughts before it were made from, in order.
    """

    language_model: PreTrainedModel
    problem_ids: tuple[str, ...]
    thought: int
    earlier: tuple[Tensor, ...] = ()

    def logits(self, hidden: Hidden) -> Weights:
        """Return what the unembedding says of hidden states, as float32."""
        return unembed(self.language_model, hidden)

    def mixture(self, weights: Weights) -> Hidden:
        """Return the sum of all token embeddings, as they are fed, by their weights."""
        table = self._embedding.weight
        return self._scaled(weights.to(table.dtype) @ table)

    def embedded(self, token: int) -> Float[Tensor, " d_model"]:
        """Return the embedding of a token, as it is fed."""
        return self._scaled(self._embedding.weight[token])

    def embedding_norm(self) -> Float[Tensor, ""]:
        """Return the mean length of the token embeddings, as they are fed."""
        return self._scaled(self._embedding.weight.norm(dim=-1).mean())

    def labels(self, seed: int, what: str) -> list[tuple[object, ...]]:
        """Return, for each row, all that its random numbers may depend on; see `seeds`."""
        return [(seed, what, problem, self.thought) for problem in self.problem_ids]

    @property
    def _embedding(self) -> Any:
        return self.language_model.get_input_embeddings()

    def _scaled(self, looked_up: Tensor) -> Tensor:
        # Gemma 3 scales what it looks up; a bridge wraps the layer that does.
        layer = getattr(self._embedding, "original_component", self._embedding)
        scale = getattr(layer, "embed_scale", None)
        return looked_up if scale is None else looked_up * torch.as_tensor(scale).to(looked_up)


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

    def make(self, hidden: Hidden, moment: Moment | None) -> Tensor:
        """Make thoughts from hidden states; a loop that needs the model overrides this."""
        return self.transform(hidden)

    def settings(self) -> dict[str, Any]:
        """Return what the constructor takes, as plain JSON values, so that it can be saved.

        Raises
        ------
        TypeError
            Where the class does not say it.
        """
        raise TypeError(
            f"A {type(self).__name__} cannot be stored: it does not say what its constructor "
            "takes. Give it a method settings() that returns that as a dict of plain values."
        )

    def forward(self, hidden: Hidden, moment: Moment | None = None) -> Hidden:
        """Map hidden states to input embeddings, through both hook points.

        Raises
        ------
        ValueError
            Where what is made has another shape or dtype than an input embedding, or is NaN or
            infinite.
        """
        seen: Tensor = self.hook_in(hidden)
        made = self.make(seen, moment)
        self._check(seen, made, moment)
        fed: Tensor = self.hook_out(made)
        return fed

    def _check(self, hidden: Tensor, made: object, moment: Moment | None) -> None:
        name = type(self).__name__
        if not isinstance(made, Tensor):
            raise ValueError(
                f"{name} made a {type(made).__name__} of hidden states; it must make a tensor."
            )
        if made.shape != hidden.shape or made.dtype != hidden.dtype:
            raise ValueError(
                f"{name} made thoughts of shape {tuple(made.shape)} and {made.dtype}; the model is "
                f"fed vectors of shape {tuple(hidden.shape)} and {hidden.dtype}, one for each row."
            )
        if not made.sum(dtype=torch.float32).isfinite() and hidden.isfinite().all():
            bad = (~made.isfinite()).flatten(1).any(dim=1) if made.ndim > 1 else ~made.isfinite()
            if bad.any():
                row = int(bad.long().argmax())
                where = f" of problem {moment.problem_ids[row]!r}" if moment is not None else ""
                thought = f" at thought {moment.thought}" if moment is not None else ""
                raise ValueError(
                    f"{name} made NaN or infinity of the hidden state{where}{thought}, which is "
                    f"finite, in {made.dtype}. Look for a division by zero, a logarithm or an "
                    "overflow in it, or load the model with dtype=torch.float32."
                )


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

    def settings(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


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

    def settings(self) -> dict[str, Any]:
        """Return the widths, and whether a LayerNorm follows."""
        return {
            "d_model": self.expand.in_features,
            "d_hidden": self.expand.out_features,
            "layer_norm": isinstance(self.norm, nn.LayerNorm),
        }
