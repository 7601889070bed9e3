"""What can be measured of a variant."""

from collections.abc import Sequence
from typing import Literal, get_args

Outcome = Literal[
    "failed",
    "answer",
    "kl_first",
    "kl_value",
    "logprob_gold",
    "logprob_baseline",
    "disruption_l2",
    "disruption_tv",
    "thought_change",
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
DEFAULT: tuple[Outcome, ...] = (
    "failed",
    "kl_first",
    "kl_value",
    "logprob_gold",
    "logprob_baseline",
)
STUDIED: tuple[Outcome, ...] = ("failed", "answer", *DEFAULT[1:])
"""What a study measures: its page shows what was answered, too."""
DISRUPTIONS = ("disruption_l2", "disruption_tv")


def check_outcomes(outcomes: Sequence[str]) -> None:
    """Raise where an outcome is not known."""
    unknown = [outcome for outcome in outcomes if outcome not in OUTCOMES]
    if unknown or not outcomes or isinstance(outcomes, str):
        raise ValueError(
            f"outcomes is {outcomes!r}; give a list of names out of {', '.join(OUTCOMES)}."
        )
