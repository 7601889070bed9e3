"""Whether corruptions tell the same story: a mean over them hides it where they do not."""

from itertools import combinations

import numpy as np
import xarray as xr

from cot_attn.stats._checks.check import Check
from cot_attn.stats.contrasts import contrasts

LEVEL = 0.05


def corruptions_agree(effects: xr.Dataset) -> Check:
    """Look for two thoughts that one corruption puts in one order and another in the other.

    An order counts where it is told apart from chance in that corruption: McNemar's exact test,
    Holm's correction over all pairs of thoughts and corruptions.
    """
    name = "Corruptions put thoughts in the same order"
    failed = effects["failed"]
    dims = {"problem", "thought", "corruption"}
    if set(failed.dims) != dims or min(failed.sizes[dim] for dim in dims) < 2:
        return Check(name, "pass", "There is nothing to compare.")
    found = contrasts(failed).transpose("pair", "corruption")
    order = np.sign(found["estimate"].values) * (found["p_holm"].values < LEVEL)
    labels = [str(label) for label in found["corruption"].values]
    reversals = [
        (one, other, np.flatnonzero(order[:, one] * order[:, other] < 0))
        for one, other in combinations(range(len(labels)), 2)
    ]
    n = sum(len(pairs) for *_, pairs in reversals)
    if not n:
        return Check(name, "pass", "No two thoughts change places beyond chance.")
    rates = failed.mean("problem")
    gap = abs(found["estimate"].values)
    one, other, pair = max(
        ((one, other, pair) for one, other, pairs in reversals for pair in pairs),
        key=lambda case: min(gap[case[2], case[0]], gap[case[2], case[1]]),
    )
    first, second = (int(found[end].values[pair]) for end in ("first", "second"))

    def told(corruption: int) -> str:
        here = rates.isel(corruption=corruption)
        numbers = (f"{100 * float(here.sel(thought=thought)):.0f} %" for thought in (first, second))
        return f"{labels[corruption]} breaks {' and '.join(numbers)}"

    return Check(
        name,
        "warn",
        f"Corruptions disagree on the order of thoughts ({n} reversals). "
        f"For thoughts {first} and {second}, {told(one)}, but "
        f"{told(other)}. A mean over corruptions hides this: read each corruption alone.",
    )
