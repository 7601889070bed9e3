"""Unchanged activations, for donors and for what is put back."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions.place import Reference
from cot_attn.interventions.sites import INPUT, Hook
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.stages import Thought


def collect(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    hooks: Iterable[Hook] = (INPUT,),
    *,
    donors: Sequence[Problem] | None = None,
    batch_size: int = 64,
) -> Reference:
    """Run problems unchanged and keep the activations at some hooks while they think.

    Parameters
    ----------
    model
        The model.
    problems
        The problems whose baselines are needed.
    hooks
        Where; without any, nothing is run.
    donors
        The problems that may donate; by default the same ones.
    batch_size
        How many problems think at once.
    """
    donors = problems if donors is None else donors
    everything = {problem.id: problem for problem in [*donors, *problems]}
    ids = tuple(sorted(everything))
    kept: dict[Hook, list[Tensor]] = {hook: [] for hook in hooks}

    def keep(place: Hook, activation: Tensor, hook: object) -> None:
        assert model.running is not None
        own = activation if activation.ndim == 2 else activation[:, 0]
        own = own if place.heads is None else own[:, list(place.heads)]
        kept[place].append(own.clone())

    watching = [(place.name, partial(keep, place)) for place in kept]
    thoughts = [Thought(index) for index in range(model.n_thoughts)]
    if kept:
        with model.hooks(watching, stages=thoughts):
            model.think([everything[problem] for problem in ids], batch_size=batch_size)
    activations = {}
    for place, steps in kept.items():
        # Thought by thought of one batch, then of the next.
        n = model.n_thoughts
        batches = [torch.stack(steps[i : i + n], dim=1) for i in range(0, len(steps), n)]
        activations[place] = torch.cat(batches)
    return Reference(ids, activations, frozenset(problem.id for problem in donors))
