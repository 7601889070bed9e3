"""Two ways to read a vector as words: as a hidden state, and as an input embedding.

A hidden state is what the final norm and the unembedding read. A vector that is fed lives among the
input embeddings, and is compared with them. Where thoughts are fed as they are (Coconut), and the
model's embeddings are tied, the two are one; where they are projected (CODI), they are not.
"""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.stages import Prompt
from cot_attn.models.unembedding import unembed
from cot_attn.readouts._vocabulary import Vocabulary

Space = Literal["hidden", "fed"]
Numbers = Float[np.ndarray, "*shape"]


class Reading(ABC):
    """How vectors are scored: greater is better."""

    measure: str
    n_tokens: int

    @abstractmethod
    def __call__(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n token"]:
        """Return a score of every token."""

    @abstractmethod
    def to_mean(self, scores: Numbers) -> Numbers:
        """Return what can be averaged over states."""

    @abstractmethod
    def from_mean(self, means: Numbers) -> Numbers:
        """Return an average as a score."""

    @abstractmethod
    def by_word(
        self, scores: Float[Tensor, "n token"], vocabulary: Vocabulary
    ) -> Float[Tensor, "n word"]:
        """Return numbers that rank words as their scores do."""

    @abstractmethod
    def of_spellings(self, scores: Float[Tensor, "*n most"]) -> Float[Tensor, "*n"]:
        """Return the score of a word from those of its spellings."""


class HiddenReading(Reading):
    """Log-probabilities of the next token, as the model reads its last state: one norm, once.

    Raises
    ------
    ValueError
        Where the model has no unembedding, or its final norm is not where it is looked for, so that
        a lens would read what the model does not.
    """

    measure = "logprob"

    def __init__(self, model: ContinuousThoughtModel) -> None:
        self.model = model
        head = model.bridge.original_model.get_output_embeddings()
        if head is None:
            raise ValueError(
                f"{model.name} has no unembedding, so its states cannot be read as words. Give a "
                "causal language model, or read what was fed with space='fed'."
            )
        self.n_tokens = len(head.weight)
        self._check_norm()

    def to_mean(self, scores: Numbers) -> Numbers:
        """Return probabilities."""
        chances: Numbers = np.exp(scores)
        return chances

    def from_mean(self, means: Numbers) -> Numbers:
        """Return their logarithm."""
        scores: Numbers = np.log(means)
        return scores

    @torch.no_grad()
    def __call__(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n token"]:
        """Return the log-probability of every token."""
        return self.log_probabilities(vectors)

    def log_probabilities(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n token"]:
        """Return the log-probability of every token, with gradients where they are asked for."""
        with self.model.isolated():
            return self._logits(vectors).log_softmax(dim=-1)

    def by_word(
        self, scores: Float[Tensor, "n token"], vocabulary: Vocabulary
    ) -> Float[Tensor, "n word"]:
        """Return the words' probabilities."""
        return vocabulary.total(scores.exp())

    def of_spellings(self, scores: Float[Tensor, "*n most"]) -> Float[Tensor, "*n"]:
        """Return the log of the spellings' probability together."""
        return scores.logsumexp(dim=-1)

    def _logits(self, states: Float[Tensor, "n d_model"]) -> Float[Tensor, "n token"]:
        model = self.model
        normed = model.bridge.ln_final(states.to(model.device, model.dtype))
        return unembed(model.bridge.original_model, normed)

    @torch.no_grad()
    def _check_norm(self) -> None:
        """Compare the norm of the last block's state with what the feedback is given."""
        model = self.model
        seen: dict[str, Tensor] = {}
        last = f"blocks.{model.n_layers - 1}.hook_out"

        def keep(state: Tensor, hook: object) -> None:
            seen.setdefault("state", state[:, -1].clone())

        def keep_hidden(state: Tensor, hook: object) -> None:
            seen["hidden"] = state.clone()

        with (
            model.isolated(),
            model.unstopped(),
            model.hooks([(last, keep)], stages=[Prompt()]),
            model.hooks([("feedback.hook_in", keep_hidden)]),
        ):
            n_tokens = len(model.bridge.original_model.get_input_embeddings().weight)
            model.think([torch.arange(4) % n_tokens], n_thoughts=1)
            norm = getattr(model.bridge, "ln_final", None)
            normed = None if norm is None else norm(seen["state"])
        tolerance = 1e-3 if model.dtype in (torch.float32, torch.float64) else 5e-2
        hidden = seen["hidden"]
        if normed is None or not torch.allclose(
            normed, hidden, atol=tolerance * float(hidden.abs().max()), rtol=0
        ):
            raise ValueError(
                f"The state behind the last block of {model.name}, after bridge.ln_final, is not "
                "the hidden state that becomes a thought. A lens would read what the model does "
                "not; there is none for this family."
            )


class FedReading(Reading):
    """Cosine with the input embedding of every token."""

    measure = "cosine"

    def __init__(self, model: ContinuousThoughtModel) -> None:
        weight: Tensor = model.bridge.original_model.get_input_embeddings().weight
        self._embeddings = normalize(weight.detach().float(), dim=-1)
        self.n_tokens = len(weight)

    def to_mean(self, scores: Numbers) -> Numbers:
        """Return the cosines."""
        return scores

    def from_mean(self, means: Numbers) -> Numbers:
        """Return the cosines."""
        return means

    def __call__(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n token"]:
        """Return the cosine with every token's embedding."""
        fed = vectors.to(self._embeddings.device, torch.float32)
        return normalize(fed, dim=-1) @ self._embeddings.T

    def by_word(
        self, scores: Float[Tensor, "n token"], vocabulary: Vocabulary
    ) -> Float[Tensor, "n word"]:
        """Return the cosine with each word's nearest spelling."""
        return vocabulary.best(scores)

    def of_spellings(self, scores: Float[Tensor, "*n most"]) -> Float[Tensor, "*n"]:
        """Return the cosine with the nearest spelling."""
        return scores.amax(dim=-1)


def reading(model: ContinuousThoughtModel, space: str) -> Reading:
    """Return how vectors of a space are read.

    Raises
    ------
    ValueError
        Where there is no such space, or the model cannot be read so.
    """
    match space:
        case "hidden":
            return HiddenReading(model)
        case "fed":
            return FedReading(model)
    raise ValueError(
        f"space is {space!r}; give 'hidden' for states of the residual stream, or 'fed' for the "
        "vectors that were fed as thoughts."
    )
