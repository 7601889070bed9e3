"""Greedy decoding, row by row until EOS."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.models.rollout import Rollout
from cot_attn.models.template import Template


def greedy(
    rollout: Rollout,
    logits: Float[Tensor, "batch d_vocab"],
    max_new_tokens: int,
    *,
    start: int = 0,
) -> list[list[int]]:
    """Decode the most likely token at every step and return each row's tokens, without EOS.

    Parameters
    ----------
    rollout
        A closed rollout that has been fed `start` answer tokens.
    logits
        Its logits behind the last token that was fed.
    max_new_tokens
        The greatest number of tokens in a whole answer.
    start
        How many answer tokens were fed before.
    """
    template = rollout.model.template
    columns: list[Tensor] = []
    alive = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    for index in range(start, max_new_tokens):
        tokens = next_tokens(logits, template)
        alive &= ~ends(tokens, index, template)
        columns.append(tokens.masked_fill(~alive, -1))
        if index + 1 == max_new_tokens or not alive.any():
            break
        fed = tokens.masked_fill(~alive, template.eos)
        logits = rollout.answer(index, fed[:, None], alive[:, None])[:, 0]
    if not columns:
        return [[] for _ in range(len(logits))]
    rows: list[list[int]] = torch.stack(columns, dim=1).tolist()
    return [[token for token in row if token >= 0] for row in rows]


def next_tokens(
    logits: Float[Tensor, "*batch d_vocab"], template: Template
) -> Int[Tensor, "*batch"]:
    """Return the most likely token that the template does not suppress."""
    if template.suppressed:
        logits = logits.clone()
        logits[..., list(template.suppressed)] = -torch.inf
    return logits.argmax(dim=-1)


def ends(tokens: Int[Tensor, " batch"], index: int, template: Template) -> Tensor:
    """Return where answer token `index` ends its answer."""
    if index == 0 and not template.stop_at_first:
        return torch.zeros_like(tokens, dtype=torch.bool)
    return tokens == template.eos
