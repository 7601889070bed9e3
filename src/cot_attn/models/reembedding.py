"""The softmax re-embedding of models that are trained to think with it."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch

from cot_attn.models.feedback import Hidden, Moment
from cot_attn.models.soft_thinking import ReadingFeedback


class SoftmaxReembedding(ReadingFeedback):
    """Feeds the mixture of token embeddings by the softmax of the logits, some tokens left out.

    Adaptive latent reasoning (arXiv:2511.21581), recurrent filter "SRE": sum_k p[k] e(k), where p
    is the softmax of the logits without tokens that are no words, such as those of its stop head.
    `SoftThinking` is the same for models that were not trained so, with filters and a temperature.

    Parameters
    ----------
    barred
        The ids of the tokens that are left out.

    Examples
    --------
    >>> import cot_attn
    >>> toy = cot_attn.ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> model = cot_attn.ContinuousThoughtModel(
    ...     toy.bridge, SoftmaxReembedding([0, 1]), toy.template, 2, tokenizer=toy.tokenizer
    ... )
    >>> model.think(["3 + 4"]).thoughts.shape
    torch.Size([1, 2, 96])
    """

    def __init__(self, barred: Sequence[int] = ()) -> None:
        super().__init__()
        for token in barred:
            argument: object = token  # a user may give anything
            if isinstance(argument, bool) or not isinstance(argument, Integral) or argument < 0:
                raise ValueError(f"barred has {token!r}; give ids of tokens.")
        self.barred = sorted(set(map(int, barred)))

    def read(self, hidden: Hidden, moment: Moment) -> Hidden:
        """Return the mixture of the embeddings of all other tokens."""
        logits = moment.logits(hidden)
        left_out = torch.tensor(self.barred, dtype=torch.long, device=logits.device)
        return moment.mixture(logits.index_fill(-1, left_out, -torch.inf).softmax(dim=-1))

    def settings(self) -> dict[str, Any]:
        """Return the tokens that are left out."""
        return {"barred": self.barred}

    def extra_repr(self) -> str:
        """Show how many tokens are left out."""
        return f"{len(self.barred)} tokens barred"
