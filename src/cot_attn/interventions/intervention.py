"""One change of a run: which thoughts, where, what, and what follows from it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cot_attn.interventions.corruption import Corruption
from cot_attn.interventions.corruption import label as label_of

Downstream = Literal["recompute", "frozen"]
Site = Literal["input"]

HOOK_NAMES: dict[str, str] = {"input": "feedback.hook_out"}


@dataclass(frozen=True)
class Intervention:
    """One change of a run.

    Parameters
    ----------
    thoughts
        Which thoughts are corrupted, counted from 0: one index or several.
    corruption
        What replaces their activation.
    site
        Where: `input` is the vector that is fed, behind the projection.
    downstream
        `recompute`: later thoughts follow from the change (the total effect). `frozen`: later
        thoughts' inputs are the baseline's vectors; their keys and values are computed anew (the
        effect that does not travel through the feedback).

    Examples
    --------
    >>> from cot_attn.interventions import Intervention, Zero
    >>> Intervention(2, Zero()).label
    'zero @ input of thought 2'
    """

    thoughts: tuple[int, ...]
    corruption: Corruption | Callable[..., Tensor]
    site: Site
    downstream: Downstream

    def __init__(
        self,
        thoughts: int | Iterable[int],
        corruption: Corruption | Callable[..., Tensor],
        site: Site = "input",
        downstream: Downstream = "recompute",
    ) -> None:
        chosen = (thoughts,) if isinstance(thoughts, int) else tuple(sorted(thoughts))
        if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"thoughts is {thoughts!r}; give one index from 0 on, or several different ones."
            )
        if not callable(corruption) or isinstance(corruption, type):
            raise TypeError(
                f"corruption is {corruption!r}; give one of cot_attn.interventions (an instance, "
                "as in Zero()), or a callable (activation, place) -> activation."
            )
        if site not in HOOK_NAMES:
            raise ValueError(f"site is {site!r}; accepted: {', '.join(HOOK_NAMES)}.")
        if downstream not in ("recompute", "frozen"):
            raise ValueError(f"downstream is {downstream!r}; accepted: recompute, frozen.")
        object.__setattr__(self, "thoughts", chosen)
        object.__setattr__(self, "corruption", corruption)
        object.__setattr__(self, "site", site)
        object.__setattr__(self, "downstream", downstream)

    @property
    def label(self) -> str:
        """A name that says everything."""
        plural = "s" if len(self.thoughts) > 1 else ""
        where = f"{self.site} of thought{plural} {', '.join(map(str, self.thoughts))}"
        frozen = ", later inputs frozen" if self.downstream == "frozen" else ""
        return f"{label_of(self.corruption)} @ {where}{frozen}"
