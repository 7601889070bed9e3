"""What is measured of a variant: names, and how each is computed from logits."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.interventions.baseline import Words

Outcome = Literal[
    "failed",
    "answer",
    "kl_first",
    "kl_value",
    "logprob_gold",
    "logprob_baseline",
    "disruption_l2",
    "disruption_tv",
]
OUTCOMES: tuple[Outcome, ...] = (
    "failed",
    "answer",
    "kl_first",
    "kl_value",
    "logprob_gold",
    "logprob_baseline",
    "disruption_l2",
    "disruption_tv",
)
DEFAULT: tuple[Outcome, ...] = (
    "failed",
    "kl_first",
    "kl_value",
    "logprob_gold",
    "logprob_baseline",
)
DISRUPTIONS = ("disruption_l2", "disruption_tv")


def check_outcomes(outcomes: Sequence[str]) -> None:
    """Raise where an outcome is not known."""
    unknown = [outcome for outcome in outcomes if outcome not in OUTCOMES]
    if unknown or not outcomes or isinstance(outcomes, str):
        raise ValueError(
            f"outcomes is {outcomes!r}; give a list of names out of {', '.join(OUTCOMES)}."
        )


def measured(
    outcomes: Sequence[str],
    words: Words,
    baseline: Float[Tensor, "batch n_tokens d_vocab"],
    variant: Float[Tensor, "batch n_tokens d_vocab"],
) -> dict[str, Float[Tensor, " batch"]]:
    """Compare logits of baselines and variants, both forced to say the baselines' words.

    `logits[:, t]` predicts token t. Divergences and log-probabilities are in nats: `kl_first` and
    `kl_value` are KL(baseline || variant) at the answer's first token and at the first token of
    its value; `logprob_baseline` is the log-probability of the whole answer and `logprob_gold`
    that of the value's tokens alone, which in a right answer are the gold value's.
    """
    results: dict[str, Tensor] = {}
    start, stop = words.value[:, 0], words.value[:, 1]
    none = start < 0
    if "kl_first" in outcomes:
        results["kl_first"] = _kl(baseline[:, 0], variant[:, 0])
    if "kl_value" in outcomes:
        rows = torch.arange(len(start), device=start.device)
        at = start.clamp(min=0)
        kl = _kl(baseline[rows, at], variant[rows, at])
        results["kl_value"] = kl.masked_fill(none, torch.nan)
    if {"logprob_gold", "logprob_baseline"} & set(outcomes):
        spoken = variant.log_softmax(dim=-1).gather(-1, words.tokens[:, :, None])[:, :, 0]
        columns = torch.arange(spoken.shape[1], device=start.device)
        in_value = (columns >= start[:, None]) & (columns < stop[:, None])
        whole = (spoken * words.said).sum(dim=1)
        value = (spoken * in_value).sum(dim=1).masked_fill(none, torch.nan)
        results["logprob_baseline"], results["logprob_gold"] = whole, value
    return {name: result for name, result in results.items() if name in outcomes}


def _kl(
    baseline: Float[Tensor, "batch d_vocab"], variant: Float[Tensor, "batch d_vocab"]
) -> Float[Tensor, " batch"]:
    log_p, log_q = baseline.log_softmax(dim=-1), variant.log_softmax(dim=-1)
    # Rounding can leave a divergence of nothing slightly below zero.
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1).clamp(min=0)
