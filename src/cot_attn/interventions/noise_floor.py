"""How much outcomes move where nothing was changed: an effect below that is none."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import torch

from cot_attn._former import former_arguments
from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.baseline import Thinking
from cot_attn.interventions._engine.batches import most_rows, rows_of_problem
from cot_attn.interventions._engine.engine import Engine
from cot_attn.interventions._probe import memory
from cot_attn.interventions.collecting import collect_encoded
from cot_attn.interventions.context import CleanActivations
from cot_attn.interventions.corruption import Unchanged
from cot_attn.interventions.intervention import Downstream, Intervention
from cot_attn.interventions.outcomes import DEFAULT
from cot_attn.interventions.sites import Site
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account

Condition = tuple[Site | str, Downstream]


@former_arguments(treatments="conditions")
@torch.no_grad()
@on_its_own_account
def noise_floor(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    outcomes: Sequence[str] = DEFAULT,
    *,
    conditions: Iterable[Condition] = (("input", "recompute"),),
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
    conditions
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

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems, noise_floor
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> noise_floor(model, load_problems("toy", n=2), ["kl_first"])["kl_first"] < 1e-4
    True
    """
    unchanged = unchanged_at(model, conditions)
    _, questions = model.encode(problems, max_new_tokens=max_new_tokens)
    size = batch_size or most_rows(model, questions, max_new_tokens, len(unchanged))
    clean, thinking = collect_encoded(
        model,
        problems,
        questions,
        {hook for change in unchanged for hook in change.baselines(model)},
        donors=None,
        batch_size=batch_size or max(1, size // rows_of_problem(len(unchanged))),
    )
    return measured_floor(
        model,
        model.provenance(),
        problems,
        questions,
        unchanged,
        outcomes,
        clean=clean,
        thinking=thinking,
        max_new_tokens=max_new_tokens,
        size=size,
    )


def unchanged_at(
    model: ContinuousThoughtModel, conditions: Iterable[Condition]
) -> list[Intervention]:
    """Return the interventions that put every thought back as it was, each once."""
    changes = [
        Intervention(thought, Unchanged(), *condition)
        for thought, condition in product(range(model.n_thoughts), conditions)
    ]
    return list({change.label: change for change in changes}.values())


def measured_floor(
    model: ContinuousThoughtModel,
    provenance: Mapping[str, str],
    problems: Sequence[Problem],
    questions: Sequence[Sequence[int]],
    unchanged: Sequence[Intervention],
    outcomes: Sequence[str],
    *,
    clean: CleanActivations,
    thinking: Thinking | None,
    max_new_tokens: int,
    size: int,
) -> dict[str, float]:
    """Return the greatest deviation of each numeric outcome, in batches of a size and a third."""
    numeric = [outcome for outcome in outcomes if outcome != "answer"]
    if not (unchanged and numeric):
        return {}
    n_rows = min(size, len(problems) * len(unchanged))
    # It is the same whatever else is done to the same problems of the same model.
    asked = tuple(
        (p.id, p.answer, p.answer_type, *q) for p, q in zip(problems, questions, strict=True)
    )
    weights = tuple(provenance.values())
    floors, key = memory(model), (weights, asked, *unchanged, *numeric, max_new_tokens, n_rows)
    if key not in floors:
        engine = Engine(
            model,
            problems,
            questions,
            unchanged,
            numeric,
            clean=clean,
            seed=0,
            max_new_tokens=max_new_tokens,
            only_correct=True,
            thinking=thinking,
        )
        one, other = engine.run_in_sizes([n_rows, max(1, n_rows // 3)])
        floors[key] = {name: _deviation(name, one[name], other[name]) for name in numeric}
    return dict(floors[key])


def _deviation(name: str, one: np.ndarray, other: np.ndarray) -> float:
    """Return how far an outcome of unchanged runs is from nothing, and two of them apart."""
    deviations = [np.abs(one - other)]
    if not name.startswith("logprob"):  # these are zero where nothing moved
        deviations += [np.abs(one), np.abs(other)]
    finite = np.concatenate([each[np.isfinite(each)] for each in deviations])
    return float(finite.max()) if finite.size else float("nan")
