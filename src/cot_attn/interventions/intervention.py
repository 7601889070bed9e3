"""One change of a run: which thoughts, where, what, and what follows from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cot_attn.interventions.corruption import Corruption, KnockOut, Unchanged, needs_baseline
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.sites import HIDDEN, INPUT, Attention, Hook, Site, as_site
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.recording._selection import Indices, indices

Downstream = Literal["recompute", "frozen"]


@dataclass(frozen=True)
class Intervention:
    """One change of a run.

    Parameters
    ----------
    thoughts
        Which thoughts are changed, counted from 0: one index or several.
    corruption
        What replaces their activation.
    site
        Where: `"input"`, `"hidden"`, a hook name, `"kv"`, `"attention"`, or one of the objects
        `Hook`, `KeysValues` and `Attention`, which choose layers and heads.
    downstream
        `recompute`: later thoughts follow from the change (the total effect). `frozen`: later
        thoughts' inputs are the baseline's vectors; their keys and values are computed anew (the
        effect that does not travel through the feedback).

    Examples
    --------
    >>> from cot_attn.interventions import Attention, Intervention, KnockOut, Zero
    >>> Intervention(2, Zero()).label
    'zero @ input of thought 2'
    >>> Intervention(2, KnockOut(), Attention(layers=[3], queries=["eot"])).label
    'knock_out @ attention (layers 3; queries eot) of thought 2'
    """

    thoughts: tuple[int, ...]
    corruption: Corruption | Callable[..., Tensor]
    site: Site
    downstream: Downstream

    def __init__(
        self,
        thoughts: Indices,
        corruption: Corruption | Callable[..., Tensor],
        site: Site | str = "input",
        downstream: Downstream = "recompute",
    ) -> None:
        chosen = tuple(sorted(indices("thought", thoughts)))
        if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"thoughts is {thoughts!r}; give one index from 0 on, or several different ones."
            )
        given: object = corruption
        if not callable(given) or isinstance(given, type):
            raise TypeError(
                f"corruption is {corruption!r}; give one of cot_attn.interventions (an instance, "
                "as in Zero()), or a callable (activation, place) -> activation."
            )
        if downstream not in ("recompute", "frozen"):
            raise ValueError(f"downstream is {downstream!r}; accepted: recompute, frozen.")
        place = as_site(site)
        masks = isinstance(corruption, KnockOut)
        if masks != isinstance(place, Attention) and not isinstance(corruption, Unchanged):
            raise ValueError(
                f"{label_of(corruption)} cannot be carried out at {place.label!r}. KnockOut() "
                "belongs to the site 'attention', and that site takes nothing else: a score of "
                "zero, for instance, is not the absence of attention."
            )
        object.__setattr__(self, "thoughts", chosen)
        object.__setattr__(self, "corruption", corruption)
        object.__setattr__(self, "site", place)
        object.__setattr__(self, "downstream", downstream)

    @property
    def label(self) -> str:
        """A name that says everything."""
        plural = "s" if len(self.thoughts) > 1 else ""
        where = f"{self.site.label} of thought{plural} {', '.join(map(str, self.thoughts))}"
        frozen = ", later inputs frozen" if self.downstream == "frozen" else ""
        return f"{label_of(self.corruption)} @ {where}{frozen}"

    @property
    def restored_at(self) -> Hook:
        """Where `frozen` puts the baseline back: before anything that the site changes."""
        return HIDDEN if self.site == HIDDEN else INPUT

    def baselines(self, model: ContinuousThoughtModel) -> set[Hook]:
        """Return the hooks at which unchanged activations are needed."""
        own = set(self.site.hooks(model)) if needs_baseline(self.corruption) else set()
        return own | ({self.restored_at} if self.downstream == "frozen" else set())
