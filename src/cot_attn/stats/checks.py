"""What can be wrong with a recording or with effects, looked for before anybody reads a figure."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from cot_attn.stats.check import Check
from cot_attn.stats.importance import importance
from cot_attn.stats.labels import as_array, join_by_label
from cot_attn.stats.sample_size import enough_failures, enough_problems

ROW_SUM_TOLERANCE = 1e-3
LENGTH_LEVEL = 0.01
KL_NAMES = ("kl_first", "kl_value")
PROVENANCE = ("model", "checkpoint", "site", "downstream", "seed", "noise_floor")


def run_checks(
    attention: xr.Dataset | xr.DataArray | None = None, effects: xr.Dataset | None = None
) -> tuple[Check, ...]:
    """Run every check that applies to what is given, the gravest findings first.

    Parameters
    ----------
    attention
        As `AttentionRecorder` records it.
    effects
        As `TokenAblator.run` gives them.
    """
    found = list(_all_checks(attention, effects))
    gravity = {"fail": 0, "warn": 1, "pass": 2}
    return tuple(sorted(found, key=lambda check: gravity[check.status]))


def _all_checks(
    attention: xr.Dataset | xr.DataArray | None, effects: xr.Dataset | None
) -> Iterator[Check]:
    if attention is not None:
        yield rows_sum_to_one(attention)
        yield attention_varies(attention)
    if effects is not None:
        if "failed" in effects:
            rates = importance(effects)
            yield failure_varies(effects)
            yield enough_problems(rates)
            yield enough_failures(rates)
            if "question_length" in effects.coords:
                yield failure_is_not_question_length(effects)
        if any(name in effects for name in KL_NAMES):
            yield kl_is_not_all_zero(effects)
        yield provenance_is_complete(effects)
        if "noise_floor" in effects.attrs:
            yield nothing_moves_unprovoked(effects)
            yield effects_exceed_noise(effects)
    if attention is not None and effects is not None:
        yield same_problems(attention, effects)


def rows_sum_to_one(attention: xr.Dataset | xr.DataArray) -> Check:
    """Look whether every recorded row is a whole: its keys' shares sum to 1."""
    rows = as_array(attention, "attention")
    sums = rows.sum("key", skipna=False).values
    finite = sums[np.isfinite(sums)]
    name = "Attention rows sum to 1"
    if finite.size == 0:
        return Check(name, "fail", "No row holds a number.")
    off = float(np.abs(finite - 1).max())
    empty = 1 - finite.size / sums.size
    if off > ROW_SUM_TOLERANCE:
        wrong = float((np.abs(finite - 1) > ROW_SUM_TOLERANCE).mean())
        return Check(
            name,
            "fail",
            f"{wrong:.1%} of the rows do not; the worst is off by {off:.3g}. Keys are missing, or "
            "these are means over a row and not the row.",
        )
    unseen = f" {empty:.1%} of the rows are empty (no value was found)." if empty else ""
    return Check(name, "pass", f"All do, within {off:.1g}.{unseen}")


def attention_varies(attention: xr.Dataset | xr.DataArray) -> Check:
    """Look for layers or heads in which all problems have the same attention."""
    rows = as_array(attention, "attention")
    name = "Attention differs between problems"
    if rows.sizes["problem"] < 2:
        return Check(name, "warn", "There is one problem, so this cannot be seen.")
    spread = rows.std("problem").max([dim for dim in ("query", "key") if dim in rows.dims])
    constant = (spread <= 1e-7).values
    if not constant.any():
        return Check(name, "pass", "It does, in every layer and head.")
    return Check(
        name,
        "fail" if constant.all() else "warn",
        f"In {int(constant.sum())} of {constant.size} layers and heads all problems have the same "
        "attention; no correlation is defined there.",
    )


def failure_varies(effects: xr.Dataset) -> Check:
    """Look whether corrupting thoughts breaks some answers and not all."""
    rate = float(effects["failed"].mean())
    name = "Some answers fail and some do not"
    if not np.isfinite(rate):
        return Check(name, "fail", "No problem was answered right before a thought was corrupted.")
    if rate in (0.0, 1.0):
        which = "None fails" if rate == 0 else "All fail"
        return Check(name, "fail", f"{which}, whatever is corrupted: nothing can be compared.")
    return Check(name, "pass", f"{rate:.1%} of the corrupted runs fail.")


def failure_is_not_question_length(effects: xr.Dataset) -> Check:
    """Look whether longer questions fail more (or less) often, whichever thought is corrupted."""
    others = [dim for dim in effects["failed"].dims if dim != "problem"]
    failed = effects["failed"].mean(others).values
    length = effects["question_length"].values.astype(float)
    known = np.isfinite(failed) & np.isfinite(length)
    name = "Failure is not a matter of question length"
    if known.sum() < 10 or np.ptp(failed[known]) == 0 or np.ptp(length[known]) == 0:
        return Check(name, "warn", "There is too little variation to see it.")
    found = spearmanr(failed[known], length[known])
    told = f"Spearman's rank correlation is {found.statistic:.2f} (p = {found.pvalue:.2g})."
    if found.pvalue >= LENGTH_LEVEL:
        return Check(name, "pass", told)
    advice = "Use estimand='within_problem', or partial='question_length'."
    return Check(name, "warn", f"{told} Whatever depends on length will seem related. {advice}")


def kl_is_not_all_zero(effects: xr.Dataset) -> Check:
    """Look for divergences that are 0 whatever is corrupted: measured where nothing is decided."""
    largest = {name: float(abs(effects[name]).max()) for name in KL_NAMES if name in effects}
    name = "Divergences are not all 0"
    zero = [key for key, value in largest.items() if value < 1e-6]
    told = ", ".join(f"{key} up to {value:.3g}" for key, value in largest.items())
    if not zero:
        return Check(name, "pass", f"{told}.")
    if "kl_first" in zero and largest.get("kl_value", 0.0) >= 1e-6:
        return Check(
            name,
            "warn",
            f"{told}: the first answer token is decided by the template. Read kl_value instead.",
        )
    return Check(name, "fail", f"{told}: the corruption does not reach the answer.")


def provenance_is_complete(effects: xr.Dataset) -> Check:
    """Look whether the effects say which model, treatment and seed they come from."""
    missing = [key for key in PROVENANCE if key not in effects.attrs]
    name = "Provenance is known"
    if missing:
        return Check(
            name,
            "warn",
            f"The attributes do not say: {', '.join(missing)}. So it cannot be checked that an "
            "unchanged run changes nothing, nor that two results had the same treatment.",
        )
    return Check(name, "pass", f"{effects.attrs['model']}, site {effects.attrs['site']}.")


def nothing_moves_unprovoked(effects: xr.Dataset) -> Check:
    """Look at the noise floor: whether answers stay as they are when nothing is changed."""
    floor = _floor(effects)
    name = "Changing nothing changes nothing"
    if not floor or all(np.isnan(value) for value in floor.values()):
        return Check(name, "warn", "The noise floor holds no figure: no baseline was right.")
    if floor.get("failed", 0.0) > 0:
        return Check(
            name,
            "fail",
            f"Up to {floor['failed']:.1%} of the answers change though nothing was changed. Is "
            "dropout on, or padding let in?",
        )
    told = ", ".join(f"{key} {value:.2g}" for key, value in floor.items())
    return Check(name, "pass", f"At most: {told}.")


def effects_exceed_noise(effects: xr.Dataset) -> Check:
    """Look for outcomes whose effects are no larger than rounding."""
    measured = [
        key
        for key, value in _floor(effects).items()
        if key in KL_NAMES and key in effects and np.isfinite(value)
    ]
    name = "Effects exceed the noise"
    if not measured:
        return Check(name, "pass", "No divergence was measured that could be compared.")
    floor = _floor(effects)
    below = [key for key in measured if float(abs(effects[key]).max()) <= floor[key]]
    if below:
        return Check(name, "warn", f"{', '.join(below)} never exceed what rounding alone does.")
    return Check(name, "pass", f"{', '.join(measured)} do.")


def same_problems(attention: xr.Dataset | xr.DataArray, effects: xr.Dataset) -> Check:
    """Look whether attention and effects are of the same problems."""
    name = "Attention and effects are of the same problems"
    left = as_array(attention, "attention")["problem"]
    try:
        join_by_label(left, effects["problem"], names=("attention", "effects"))
    except ValueError as error:
        return Check(name, "fail", str(error))
    return Check(name, "pass", f"All {left.size} are.")


def _floor(effects: xr.Dataset) -> dict[str, float]:
    """Read the noise floor: a number for each outcome."""
    floor = effects.attrs["noise_floor"]
    if not isinstance(floor, dict):
        raise TypeError(
            "The attribute noise_floor must be a dict from outcome to its greatest deviation, got "
            f"{type(floor).__name__}."
        )
    return {str(key): float(value) for key, value in floor.items()}
