"""One change of a run: which thoughts, where, what, and what follows from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cot_attn.interventions.corruption import Corruption, KnockOut, Unchanged, needs_baseline
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.sites import HIDDEN, INPUT, Attention, Hook, Site, as_site, check_sites
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.recording.selection import Indices, indices

Downstream = Literal["recompute", "frozen"]
"""The total effect (`recompute`: later thoughts follow from the change) or the direct effect
(`frozen`: later thoughts' inputs are the baseline's vectors)."""


@dataclass(frozen=True)
class Intervention:
    """One change of a run: which thoughts, where, what replaces them, and what follows.

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
        The total effect (`recompute`) or the direct effect (`frozen`). `recompute`: later thoughts
        follow from the change. `frozen`: later thoughts' inputs are the baseline's vectors, their
        keys and values are computed anew; nothing travels through the feedback.

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
        argument: object = corruption
        if not callable(argument) or isinstance(argument, type):
            raise TypeError(
                f"corruption is {corruption!r}; give one of cot_attn.interventions (an instance, "
                "as in Zero()), or a callable (activation, context) -> activation."
            )
        if downstream not in ("recompute", "frozen"):
            raise ValueError(f"downstream is {downstream!r}; accepted: recompute, frozen.")
        where = as_site(site)
        masks = isinstance(corruption, KnockOut)
        if masks != isinstance(where, Attention) and not isinstance(corruption, Unchanged):
            raise ValueError(
                f"{label_of(corruption)} cannot be carried out at {where.label!r}. KnockOut() "
                "belongs to the site 'attention', and that site takes nothing else: a score of "
                "zero, for instance, is not the absence of attention."
            )
        object.__setattr__(self, "thoughts", chosen)
        object.__setattr__(self, "corruption", corruption)
        object.__setattr__(self, "site", where)
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
        asked = set(self.site.hooks(model)) if needs_baseline(self.corruption) else set()
        return asked | ({self.restored_at} if self.downstream == "frozen" else set())


def check_interventions(
    interventions: Sequence[Intervention], model: ContinuousThoughtModel
) -> None:
    """Raise where interventions are none, share a label, or cannot be carried out."""
    argument: object = interventions
    if isinstance(argument, Intervention):
        raise TypeError(f"interventions is one, {argument.label!r}; give a list of them.")
    if not interventions:
        raise ValueError("There are no interventions. Give at least one Intervention.")
    n_thoughts = model.n_thoughts
    for change in interventions:
        if change.thoughts[-1] >= n_thoughts:
            raise ValueError(
                f"{change.label!r} names thought {change.thoughts[-1]}; this model thinks "
                f"{n_thoughts} thoughts, 0 to {n_thoughts - 1}."
            )
    labels = [change.label for change in interventions]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ValueError(
            f"Two interventions are called {repeated[0]!r}. Results are joined by label: leave one "
            "out, or give the corruption another `label`."
        )
    with model.isolated():
        check_sites(model, list(dict.fromkeys(change.site for change in interventions)))
