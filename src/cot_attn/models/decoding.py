"""Greedy decoding, row by row until EOS."""

import torch
from jaxtyping import Float, Int
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

    Parameters
    ----------
    rollout
        A closed rollout in which each row has said `n_said` tokens.
    tokens
        Each row's next token, which has not been fed.
    n_said
        How many tokens each row has said.
    max_new_tokens
        The greatest number of tokens in a whole answer.
    """
    template = rollout.model.template
    columns: list[Tensor] = []
    workspace = Workspace()
    alive = torch.ones_like(tokens, dtype=torch.bool)
    start = int(n_said.min()) if len(n_said) else 0
    for index in range(start, max_new_tokens):
        at = n_said + len(columns)
        alive = alive & (at < max_new_tokens) & ~ends(tokens, at, template)
        columns.append(tokens.masked_fill(~alive, -1))
        # A row whose answer is full now has nothing more to predict.
        going_on = alive & (at + 1 < max_new_tokens)
        if not going_on.any():
            break
        fed = tokens.masked_fill(~going_on, template.eos)
        logits = rollout.answer(index, fed[:, None], going_on[:, None], workspace)[:, 0]
        tokens = next_tokens(logits, template)
        # A row with NaN in it has that for its greatest number.
        best = logits.gather(-1, tokens[:, None])
        check_finite("Logits", best, rollout.problems, rollout.stage)
    if not columns:
        return [[] for _ in range(len(tokens))]
    rows: list[list[int]] = torch.stack(columns, dim=1).tolist()
    return [[token for token in row if token >= 0] for row in rows]


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


def ends(tokens: Int[Tensor, " batch"], at: Int[Tensor, " batch"], template: Template) -> Tensor:
    """Return where answer token number `at` of each row ends its answer."""
    eos = tokens == template.eos
    return eos if template.stop_at_first else eos & (at > 0)
