"""How often a lens finds what it looks for, and how much oftener than by chance."""

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import require_array
from cot_attn.stats._inference.intervals import wilson
from cot_attn.stats._labelled.labels import problem_coordinate
from cot_attn.stats.averages import mean_over_problems

ANSWERED = ("all", "right", "wrong")


def lens_agreement(lens: xr.Dataset, k: int = 1, *, confidence: float = 0.95) -> xr.Dataset:
    """Say how often a target is among the lens's k first words, beyond the states of others.

    Parameters
    ----------
    lens
        What `readouts.logit_lens` returns: `rank` (problem, ..., target), `baseline_rank` with a
        dimension `other` besides, and, along the problems, `correct`.
    k
        The rank up to which a target counts as found.

    Returns
    -------
    xr.Dataset
        Over (answered, ..., target), where `answered` is "all", "right" or "wrong":

        - `rate`, `rate_low`, `rate_high`: how often the target is found, with Wilson's interval;
        - `baseline`: how often the same targets are found in other problems' states;
        - `estimate`, `low`, `high`: the rate less the baseline;
        - `n_problems`: problems that have the target, and a baseline for it.

        Fractions; NaN where there is no such problem. The steps of one problem are no sample:
        intervals are over problems, for each target apart.

    Notes
    -----
    The interval of the difference joins those of its parts (square-and-add: Newcombe 1998,
    "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17).

    Examples
    --------
    >>> dims = ("problem", "target")
    >>> ranks, others = np.ones((20, 1)), np.full((20, 1, 4), 9.0)
    >>> found = xr.Dataset(
    ...     {"rank": (dims, ranks), "baseline_rank": ((*dims, "other"), others)},
    ...     coords={"problem": range(20), "correct": ("problem", np.ones(20))},
    ... )
    >>> result = lens_agreement(found).sel(answered="all", target=0)
    >>> [round(float(result[name]), 2) for name in ("estimate", "low", "high")]
    [1.0, 0.84, 1.0]
    """
    missing = {"rank", "baseline_rank"} - set(map(str, lens.data_vars))
    if missing:
        raise ValueError(
            f"This data set lacks {sorted(missing)}; give what readouts.logit_lens returns."
        )
    if k < 1:
        raise ValueError(f"k is {k}; ranks are counted from 1.")
    require_array(lens["rank"], ("problem", "target"), "The agreement of a lens")
    require_array(lens["baseline_rank"], ("problem", "target", "other"), "The baseline of a lens")
    baseline = _found(lens["baseline_rank"], k).mean("other")
    found = _found(lens["rank"], k).where(baseline.notnull())
    baseline = baseline.where(found.notnull())
    correct = problem_coordinate("correct", lens)
    parts = []
    for answered in ANSWERED:
        kept = correct.notnull() | correct.isnull()
        if answered != "all":
            kept = correct == float(answered == "right")
        parts.append(_difference(found[kept.values], baseline[kept.values], confidence))
    joined = xr.concat(parts, dim=xr.Variable("answered", list(ANSWERED)))
    return joined.assign_attrs(
        {**lens.attrs, "k": k, "confidence": confidence, "method": "rate less baseline, Newcombe"}
    )


def _found(ranks: xr.DataArray, k: int) -> xr.DataArray:
    return (ranks <= k).astype(float).where(ranks.notnull())


def _difference(found: xr.DataArray, baseline: xr.DataArray, confidence: float) -> xr.Dataset:
    rate, usual = (mean_over_problems(each, confidence=confidence) for each in (found, baseline))
    n = rate["n_problems"]
    low, high = wilson((rate["estimate"] * n).values, n.values, confidence)
    # Of one problem, or of none, nothing is known of how much the baseline varies.
    below = (usual["estimate"] - usual["low"]).fillna(0).values
    above = (usual["high"] - usual["estimate"]).fillna(0).values
    estimate = rate["estimate"] - usual["estimate"]
    down = np.hypot(rate["estimate"].values - low, above)
    up = np.hypot(high - rate["estimate"].values, below)
    return xr.Dataset(
        {
            "rate": rate["estimate"],
            "rate_low": rate["estimate"].copy(data=low),
            "rate_high": rate["estimate"].copy(data=high),
            "baseline": usual["estimate"],
            "estimate": estimate,
            "low": (estimate - down).clip(-1, 1),
            "high": (estimate + up).clip(-1, 1),
            "n_problems": n,
        }
    )
