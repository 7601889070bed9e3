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
