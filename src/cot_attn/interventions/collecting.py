"""Unchanged activations, for donors and for what is put back."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions.place import Reference
from cot_attn.interventions.sites import INPUT, Attention, Hook, KeysValues, Site, as_site
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account
from cot_attn.models.stages import Thought


@on_its_own_account
def collect(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    hooks: Iterable[Site | str] = (INPUT,),
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
        Where: `"input"`, `"hidden"`, a hook name, `"kv"`, or a site object; without any, nothing
        is run.
    donors
        The problems that may donate; by default the same ones.
    batch_size
        How many problems think at once.

    Raises
    ------
    ValueError
        Where a hook does not see one thought of each problem.
    KeyError
        Where there is no such hook; near names are suggested.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> from cot_attn.interventions import collect
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> known = collect(model, load_problems("toy", n=6), ["input", "blocks.1.hook_out"])
    >>> tuple(known.at("input").shape)
    (6, 6, 96)
    """
    donors = problems if donors is None else donors
    everything = {problem.id: problem for problem in [*donors, *problems]}
    ids = tuple(sorted(everything))
    kept: dict[Hook, list[Tensor]] = {hook: [] for hook in _hooks(model, hooks)}

    def keep(place: Hook, activation: Tensor, hook: object) -> None:
        assert model.running is not None
        shape, n_rows = tuple(activation.shape), len(model.running.problems)
        if shape[0] != n_rows or not (len(shape) == 2 or shape[1] == 1):
            raise ValueError(
                f"{place.name!r} has the shape {shape} for {n_rows} problems and one thought. "
                "Accepted are hooks of shape (batch, 1, ...), such as 'blocks.0.hook_out'."
            )
        own = activation if activation.ndim == 2 else activation[:, 0]
        own = own if place.heads is None else own[:, list(place.heads)]
        kept[place].append(own.clone())

    n = model.n_thoughts
    if kept:
        if not n:
            raise ValueError(f"{model.name} thinks 0 thoughts, so there is nothing to collect.")
        watching = [(place.name, partial(keep, place)) for place in kept]
        with model.hooks(watching, stages=[Thought(index) for index in range(n)]):
            model.think([everything[problem] for problem in ids], batch_size=batch_size)
    activations = {}
    for place, steps in kept.items():
        if not steps:
            raise ValueError(
                f"{place.name!r} never fires on a thought. Use 'input', 'hidden', 'kv' or a hook "
                "such as 'blocks.0.hook_out'."
            )
        # Thought by thought of one batch, then of the next.
        batches = [torch.stack(steps[i : i + n], dim=1) for i in range(0, len(steps), n)]
        activations[place] = torch.cat(batches)
    return Reference(ids, activations, frozenset(problem.id for problem in donors))


def _hooks(model: ContinuousThoughtModel, sites: Iterable[Site | str]) -> list[Hook]:
    """Return the hooks that sites consist of; raise where one has no activations to keep."""
    given: object = sites
    if isinstance(given, str | Hook | KeysValues | Attention):
        raise TypeError(f"hooks is {given!r}; give a list, as in [{given!r}].")
    found: dict[Hook, None] = {}
    for site in map(as_site, sites):
        if not site.hooks(model):
            raise ValueError(
                f"There are no activations of the site {site.label!r} to collect. Give 'input', "
                "'hidden', 'kv' or a hook name."
            )
        found.update(dict.fromkeys(site.hooks(model)))
    return list(found)
