"""Greedy decoding, row by row until EOS."""

from bisect import bisect_right

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
    """
    first = next_tokens(logits, rollout.model.template)
    return continued(rollout, first, torch.zeros_like(first), max_new_tokens)


def continued(
    rollout: Rollout,
    tokens: Int[Tensor, " batch"],
    n_said: Int[Tensor, " batch"],
    max_new_tokens: int,
) -> list[list[int]]:
    """Go on decoding from answers of different lengths and return what each row adds, without EOS.

    Token number j of an answer is decoded at the same time in all rows, and stands in the same
    column: rows that have said more join later.

    Parameters
    ----------
    rollout
        A closed rollout in which each row has said `n_said` tokens, and perhaps others behind
        them, which are forgotten.
    tokens
        Each row's next token, which has not been fed.
    n_said
        How many tokens each row has said, in ascending order.
    max_new_tokens
        The greatest number of tokens in a whole answer.
    """
    template = rollout.model.template
    tokens, alive = tokens.clone(), torch.ones_like(tokens, dtype=torch.bool)
    added = tokens.new_full((len(tokens), max_new_tokens), -1)
    workspace = Workspace()
    begun, n_begun, joining = rollout, 0, n_said.tolist()
    for index in range(min(joining, default=max_new_tokens), max_new_tokens):
        n_joined = bisect_right(joining, index)
        if n_joined > n_begun:
            n_begun, begun = n_joined, rollout.answered(n_joined, index)
        said, going_on = tokens[:n_begun], alive[:n_begun]
        going_on &= ~ends(said, index, template)
        added[:n_begun, index] = said.masked_fill(~going_on, -1)
        if index + 1 == max_new_tokens or not alive.any():
            break  # a row whose answer is full has nothing more to predict
        if going_on.any():
            fed = said.masked_fill(~going_on, template.eos)
            logits = begun.answer(index, fed[:, None], going_on[:, None], workspace)[:, 0]
            said.copy_(next_tokens(logits, template))
            # A row with NaN in it has that for its greatest number.
            best = logits.gather(-1, said[:, None])
            check_finite("Logits", best, begun.problems, begun.stage)
    return [[token for token in row if token >= 0] for row in added.tolist()]


def next_tokens(
    logits: Float[Tensor, "*batch d_vocab"], template: Template
) -> Int[Tensor, "*batch"]:
    """Return the most likely token that the template does not suppress."""
    barred = list(template.suppressed)
    # Put back afterwards, because a copy of all logits takes longer than looking for the greatest.
    own = logits[..., barred]
    logits[..., barred] = -torch.inf
    tokens = logits.argmax(dim=-1)
    logits[..., barred] = own
    return tokens


def ends(tokens: Int[Tensor, " batch"], index: int, template: Template) -> Bool[Tensor, " batch"]:
    """Return where answer token number `index` of a row ends its answer."""
    if index == 0 and not template.stop_at_first:
        return torch.zeros_like(tokens, dtype=torch.bool)
    return tokens == template.eos
