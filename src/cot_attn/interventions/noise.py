"""How much every outcome moves when nothing was changed."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from cot_attn.data.problem import Problem
from cot_attn.interventions.batching import Batches, fitting
from cot_attn.interventions.collecting import collect
from cot_attn.interventions.corruption import Unchanged
from cot_attn.interventions.engine import Engine
from cot_attn.interventions.intervention import Downstream, Intervention
from cot_attn.interventions.outcomes import DEFAULT
from cot_attn.interventions.sites import Site
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account

Treatment = tuple[Site | str, Downstream]


@torch.no_grad()
@on_its_own_account
def noise_floor(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    outcomes: Sequence[str] = DEFAULT,
    *,
    treatments: Iterable[Treatment] = (("input", "recompute"),),
    max_new_tokens: int = 64,
    batch_size: int | None = None,
) -> dict[str, float]:
    """Return how much each outcome moves when nothing was changed.

    Every thought is put back as it was, at each site and with each downstream, in two shapes of
    batch. What differs from the baseline, or between the two, is rounding; an effect below it is
    none.

    Parameters
    ----------
    model
        The model.
    problems
        A few problems; those with a right baseline tell.
    outcomes
        What is measured; see `run_variants`.
    treatments
        Pairs of a site and a downstream.
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        The larger of the two shapes, by default as many rows as fit into free memory; the other
        is a third of it.

    Returns
    -------
    dict
        For each numeric outcome the greatest deviation over the problems; NaN where no baseline
        was right.
    """
    unchanged = {
        change.label: change
        for thought in range(model.n_thoughts)
        for site, downstream in treatments
        for change in [Intervention(thought, Unchanged(), site, downstream)]
    }
    changes = list(unchanged.values())
    hooks = {hook for change in changes for hook in change.baselines(model)}
    numeric = [outcome for outcome in outcomes if outcome != "answer"]
    if not (changes and numeric):
        return {}
    _, questions = model.encode(problems, max_new_tokens=max_new_tokens)
    longest = max(map(len, questions)) + model.n_thoughts + max_new_tokens
    most = batch_size or fitting(model, longest)
    known = collect(model, problems, hooks, batch_size=most)
    n_rows = min(most, len(problems) * len(changes))
    runs = []
    for size in (n_rows, max(1, n_rows // 3)):
        engine = Engine(
            model,
            problems,
            changes,
            numeric,
            reference=known,
            seed=0,
            max_new_tokens=max_new_tokens,
            only_correct=True,
        )
        runs.append(engine.run(Batches(size), lambda done: None).dataset())
    floor = {}
    for name in numeric:
        one, other = (run[name].values for run in runs)
        deviations = [np.abs(one - other)]
        if not name.startswith("logprob"):  # these are zero where nothing moved
            deviations += [np.abs(one), np.abs(other)]
        finite = np.concatenate([each[np.isfinite(each)] for each in deviations])
        floor[name] = float(finite.max()) if finite.size else float("nan")
    return floor
