"""How a rollout answers: greedily, row by row until EOS, or forced to answers token by token.

A row that is forced has answered greedily as far as each most likely token is the one that is
forced; from where it departs it is decoded on.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.models.finite import check_finite
from cot_attn.models.rollout import Rollout
from cot_attn.models.template import Template
from cot_attn.models.unembedding import Workspace


def greedy(
    rollout: Rollout, logits: Float[Tensor, "batch d_vocab"], max_new_tokens: int
) -> list[list[int]]:
    """Decode the most likely token at every step and return each row's tokens, without EOS.

    Parameters
    ----------
    rollout
        A closed rollout.
    logits
        Its logits behind EOT.
    max_new_tokens
        The greatest number of tokens in an answer.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems, questions = model.encode(load_problems("toy", n=1, difficulties=[3]))
    >>> with torch.no_grad():
    ...     rollout = model.rollout(problems, questions, n_thoughts=0)
    ...     rollout.read()
    ...     (tokens,) = greedy(rollout, rollout.close(), max_new_tokens=8)
    >>> model.decode(tokens)  # without a thought, a wrong one
    'The answer is 11'
    """
    first = next_tokens(logits, rollout.model.template)
    return continued(rollout, first, torch.zeros_like(first), max_new_tokens)


def continued(
    rollout: Rollout,
    tokens: Int[Tensor, " batch"],
    lengths: Int[Tensor, " batch"],
    max_new_tokens: int,
) -> list[list[int]]:
    """Go on decoding from answers of different lengths and return what each row adds, without EOS.

    Token number j of an answer is decoded at the same time in all rows, and stands in the same
    column: rows with longer answers join later.

    Parameters
    ----------
    rollout
        A closed rollout that has been fed each row's answer so far, and perhaps other tokens
        behind it, which are truncated.
    tokens
        Each row's next token, which has not been fed.
    lengths
        How many tokens each row's answer has so far, in ascending order.
    max_new_tokens
        The greatest number of tokens in a whole answer.
    """
    template = rollout.model.template
    tokens, alive = tokens.clone(), torch.ones_like(tokens, dtype=torch.bool)
    added = tokens.new_full((len(tokens), max_new_tokens), -1)
    workspace = Workspace()
    joined, n_joined, starts = rollout, 0, lengths.tolist()
    for index in range(min(starts, default=max_new_tokens), max_new_tokens):
        n_rows = bisect_right(starts, index)
        if n_rows > n_joined:
            n_joined, joined = n_rows, rollout.truncated(n_rows, index)
        current, going_on = tokens[:n_joined], alive[:n_joined]
        going_on &= ~ends(current, index, template)
        added[:n_joined, index] = current.masked_fill(~going_on, -1)
        if index + 1 == max_new_tokens or not alive.any():
            break  # a row whose answer is full has nothing more to predict
        if going_on.any():
            fed = current.masked_fill(~going_on, template.eos)
            logits = joined.answer(index, fed[:, None], going_on[:, None], workspace)[:, 0]
            current.copy_(next_tokens(logits, template))
            # A row with NaN in it has that for its greatest number.
            best = logits.gather(-1, current[:, None])
            check_finite("Logits", best, joined.problems, joined.stage)
    return [[token for token in row if token >= 0] for row in added.tolist()]


def next_tokens(
    logits: Float[Tensor, "*batch d_vocab"], template: Template
) -> Int[Tensor, "*batch"]:
    """Return the most likely token that the template does not suppress."""
    barred = list(template.suppressed)
    # Put back afterwards, because a copy of all logits takes longer than looking for the greatest.
    logits_barred = logits[..., barred]
    logits[..., barred] = -torch.inf
    tokens = logits.argmax(dim=-1)
    logits[..., barred] = logits_barred
    return tokens


def ends(tokens: Int[Tensor, " batch"], index: int, template: Template) -> Bool[Tensor, " batch"]:
    """Return where answer token number `index` of a row ends its answer."""
    if index == 0 and not template.stop_at_first:
        return torch.zeros_like(tokens, dtype=torch.bool)
    return tokens == template.eos


@dataclass(frozen=True, eq=False)
class ForcedAnswers:
    """One answer for each row of a batch, which a rollout is forced to.

    Attributes
    ----------
    tokens
        Answer tokens, with EOS behind them where the answer ended; padded on the right.
    length
        Number of answer tokens, EOS not counted.
    real
        Where a token belongs to an answer, its EOS included, and not to the padding.
    value
        For each row the tokens [start, stop) of the value, or (-1, -1) where there is none.
    """

    tokens: Int[Tensor, "batch n_tokens"]
    length: Int[Tensor, " batch"]
    real: Bool[Tensor, "batch n_tokens"]
    value: Int[Tensor, "batch 2"]

    @classmethod
    def of(
        cls,
        answers: Sequence[Sequence[int]],
        values: Sequence[range | None],
        max_new_tokens: int,
        template: Template,
        device: torch.device,
    ) -> "ForcedAnswers":
        """Return answers, which come without EOS, and whose values stand at known tokens.

        One that is shorter than `max_new_tokens` had ended, and gets its EOS.
        """
        eos = template.eos
        ended = [
            [*tokens, eos] if len(tokens) < max_new_tokens else list(tokens) for tokens in answers
        ]
        width = max(1, *map(len, ended))
        padded = [tokens + [eos] * (width - len(tokens)) for tokens in ended]
        lengths = torch.tensor([len(tokens) for tokens in ended], device=device)
        return cls(
            tokens=torch.tensor(padded, device=device),
            length=torch.tensor([len(tokens) for tokens in answers], device=device),
            real=torch.arange(width, device=device) < lengths[:, None],
            value=torch.tensor(
                [(-1, -1) if value is None else (value.start, value.stop) for value in values],
                device=device,
            ),
        )

    def rows(self, rows: Int[Tensor, " rows"] | Sequence[int] | slice) -> "ForcedAnswers":
        """Return the answers of chosen rows, repeats allowed."""
        return ForcedAnswers(
            self.tokens[rows], self.length[rows], self.real[rows], self.value[rows]
        )

    def truncate(self, n_tokens: int) -> "ForcedAnswers":
        """Return the first tokens of every answer."""
        tokens, real = self.tokens[:, :n_tokens], self.real[:, :n_tokens]
        return ForcedAnswers(tokens, self.length, real, self.value)

    @property
    def has_value(self) -> Bool[Tensor, " batch"]:
        """Which rows have a value."""
        return self.value[:, 0] >= 0

    @property
    def in_value(self) -> Bool[Tensor, "batch n_tokens"]:
        """Where a token belongs to the value."""
        columns = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return (columns >= self.value[:, :1]) & (columns < self.value[:, 1:])

    def teacher_force(self, rollout: Rollout) -> Float[Tensor, "batch n_tokens d_model"]:
        """Feed the answers to a rollout and return the hidden states that predict each token."""
        return rollout.force_answer(self.tokens[:, :-1], self.real[:, 1:])

    def departures(self, best: Int[Tensor, "batch n_tokens"]) -> Int[Tensor, " batch"]:
        """Return at which token another one was likelier first, and -1 where at none.

        As long as each most likely token is the one that is forced, nothing was forced at all.
        """
        differs = (best != self.tokens) & self.real
        # The first True of each row.
        return differs.long().argmax(dim=1).masked_fill(~differs.any(dim=1), -1)
