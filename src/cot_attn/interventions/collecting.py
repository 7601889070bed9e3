"""Clean activations: problems run unchanged, and what hooks see of their thoughts is kept."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.baseline import Thinking
from cot_attn.interventions.context import CleanActivations
from cot_attn.interventions.sites import INPUT, Attention, Hook, KeysValues, Site, as_site
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account
from cot_attn.models.stages import Thought


def collect(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    hooks: Iterable[Site | str] = (INPUT,),
    *,
    donors: Sequence[Problem] | None = None,
    batch_size: int = 64,
) -> CleanActivations:
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
    >>> clean = collect(model, load_problems("toy", n=6), ["input", "blocks.1.hook_out"])
    >>> tuple(clean["input"].shape)
    (6, 6, 96)
    """
    return collect_encoded(model, problems, None, hooks, donors=donors, batch_size=batch_size)[0]


@torch.no_grad()
@on_its_own_account
def collect_encoded(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    questions: Sequence[Sequence[int]] | None,
    hooks: Iterable[Site | str],
    *,
    donors: Sequence[Problem] | None,
    batch_size: int,
) -> tuple[CleanActivations, Thinking | None]:
    """Do what `collect` does, with the problems' questions as token ids where they are known.

    Returns
    -------
    tuple
        What `collect` returns, and the run that it is from, where all ran in one batch.
    """
    donors = problems if donors is None else donors
    by_id = {problem.id: problem for problem in [*donors, *problems]}
    ids = tuple(sorted(by_id))
    kept: dict[Hook, list[Tensor]] = {hook: [] for hook in _hooks_of(model, hooks)}

    def keep(target: Hook, activation: Tensor, hook: object) -> None:
        assert model.running is not None
        shape, n_rows = tuple(activation.shape), len(model.running.problems)
        if shape[0] != n_rows or not (len(shape) == 2 or shape[1] == 1):
            raise ValueError(
                f"{target.name!r} has the shape {shape} for {n_rows} problems and one thought. "
                "Accepted are hooks of shape (batch, 1, ...), such as 'blocks.0.hook_out'."
            )
        rows = activation if activation.ndim == 2 else activation[:, 0]
        rows = rows if target.heads is None else rows[:, list(target.heads)]
        kept[target].append(rows.clone())

    n_thoughts, counts = model.n_thoughts, list[int]()
    batches: dict[Hook, list[tuple[Sequence[Tensor], Sequence[int]]]] = {h: [] for h in kept}
    thinking: Thinking | None = None
    if kept:
        if not n_thoughts:
            raise ValueError(f"{model.name} thinks 0 thoughts, so there is nothing to collect.")
        tokens = dict(zip((problem.id for problem in problems), questions or (), strict=False))
        if others := [problem for name, problem in by_id.items() if name not in tokens]:
            encoded = model.encode(others)[1]
            tokens |= zip((problem.id for problem in others), encoded, strict=True)
        watching = [(hook.name, partial(keep, hook)) for hook in kept]
        with model.hooks(watching, stages=[Thought(index) for index in range(n_thoughts)]):
            for start in range(0, len(ids), batch_size):
                batch = ids[start : start + batch_size]
                thinking = None  # before the next takes its memory
                thinking = Thinking.of(
                    model, [by_id[name] for name in batch], [tokens[name] for name in batch]
                )
                lengths = thinking.rollout.layout.n_thoughts_each
                counts += lengths
                for hook, steps in kept.items():
                    if not steps and any(lengths):
                        raise ValueError(
                            f"{hook.name!r} never fires on a thought. Use 'input', 'hidden', 'kv' "
                            "or a hook such as 'blocks.0.hook_out'."
                        )
                    batches[hook].append((tuple(steps), lengths))
                    steps.clear()
    clean = CleanActivations(
        ids,
        {hook: _where_there(each, n_thoughts) for hook, each in batches.items()},
        frozenset(problem.id for problem in donors),
        tuple(counts) if kept and model.stop is not None else None,
    )
    return clean, thinking if len(ids) <= batch_size else None


def _where_there(
    batches: Sequence[tuple[Sequence[Tensor], Sequence[int]]], n_thoughts: int
) -> Float[Tensor, "problem n_thoughts *site"]:
    """Join batches of steps, with NaN in the place of thoughts that a problem does not have."""
    example = next((steps[0] for steps, _ in batches if steps), None)
    if example is None:
        raise ValueError(
            "All problems stopped before their first thought: there is nothing to collect."
        )
    found = []
    for steps, lengths in batches:
        whole = example.new_full((len(lengths), n_thoughts, *example.shape[1:]), torch.nan)
        for index, step in enumerate(steps):
            there = [row for row, length in enumerate(lengths) if length > index]
            whole[there, index] = step[there]
        found.append(whole)
    return torch.cat(found)


def _hooks_of(model: ContinuousThoughtModel, sites: Iterable[Site | str]) -> list[Hook]:
    """Return the hooks that sites consist of; raise where one has no activations to keep."""
    argument: object = sites
    if isinstance(argument, str | Hook | KeysValues | Attention):
        raise TypeError(f"hooks is {argument!r}; give a list, as in [{argument!r}].")
    found: dict[Hook, None] = {}
    for site in map(as_site, sites):
        if not site.hooks(model):
            raise ValueError(
                f"There are no activations of the site {site.label!r} to collect. Give 'input', "
                "'hidden', 'kv' or a hook name."
            )
        found.update(dict.fromkeys(site.hooks(model)))
    return list(found)
