"""How much every outcome moves when nothing was changed."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from cot_attn.data.problem import Problem
from cot_attn.interventions.corruption import Scale, Unchanged
from cot_attn.interventions.engine import run_variants
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.outcomes import DEFAULT
from cot_attn.models.continuous import ContinuousThoughtModel


def noise_floor(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    outcomes: Sequence[str] = DEFAULT,
    *,
    max_new_tokens: int = 64,
    batch_size: int = 128,
) -> dict[str, float]:
    """Return how much each outcome moves when nothing was changed.

    Every thought is put back as it was, in batches of other shapes than the baseline's and one by
    one. What differs from the baseline, or between the two, is rounding; an effect below it is
    none.

    Returns
    -------
    dict
        For each numeric outcome the greatest deviation over the problems; NaN where no baseline
        was right.
    """
    # Two a thought, so that a batch of variants is larger than the batch of their baselines.
    changes = [
        Intervention(thought, same)
        for thought, same in product(range(model.n_thoughts), (Unchanged(), Scale(1.0)))
    ]
    numeric = [outcome for outcome in outcomes if outcome != "answer"]
    together, alone = (
        run_variants(
            model, problems, changes, numeric, max_new_tokens=max_new_tokens, batch_size=size
        )
        for size in (batch_size, 1)
    )
    floor = {}
    for name in numeric:
        deviations = [np.abs(together[name].values - alone[name].values)]
        if not name.startswith("logprob"):  # these are zero where nothing moved
            deviations += [np.abs(together[name].values), np.abs(alone[name].values)]
        finite = np.concatenate([each[np.isfinite(each)] for each in deviations])
        floor[name] = float(finite.max()) if finite.size else float("nan")
    return floor
