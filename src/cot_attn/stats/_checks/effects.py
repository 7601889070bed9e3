"""What can be wrong with effects."""

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from cot_attn.stats._checks.check import Check
from cot_attn.stats._labelled.layout import other_dims

LENGTH_LEVEL = 0.01
ZERO = 1e-6  # a divergence below this, in nats, is none
MOVES = 0.01  # a divergence above this is no rounding in any number type
KL_NAMES = ("kl_first", "kl_value")
PROVENANCE = ("model", "checkpoint", "site", "downstream", "seed", "noise_floor")


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
    name = "Failure is not a matter of question length"
    if "question_length" not in effects.coords:
        return Check(name, "warn", "The effects have no coordinate question_length to see it by.")
    failed = effects["failed"].mean(other_dims(effects["failed"], "problem")).values
    length = effects["question_length"].values.astype(float)
    usable = np.isfinite(failed) & np.isfinite(length)
    failed, length = failed[usable], length[usable]
    if len(failed) < 10 or np.ptp(failed) == 0 or np.ptp(length) == 0:
        return Check(name, "warn", "There is too little variation to see it.")
    found = spearmanr(failed, length)
    told = f"Spearman's rank correlation is {found.statistic:.2f} (p = {found.pvalue:.2g})."
    if found.pvalue >= LENGTH_LEVEL:
        return Check(name, "pass", told)
    longer = "more" if found.statistic > 0 else "less"
    told = f"Longer questions break {longer} often. {told}"
    advice = "Use estimand='within_problem', or partial='question_length'."
    return Check(name, "warn", f"{told} Whatever depends on length will seem related. {advice}")


def kl_is_not_all_zero(effects: xr.Dataset) -> Check:
    """Look for divergences that are 0 whatever is corrupted: measured where nothing is decided."""
    largest = {name: float(abs(effects[name]).max()) for name in KL_NAMES if name in effects}
    name = "Divergences are not all 0"
    missing = [key for key, value in largest.items() if np.isnan(value)]
    zero = [key for key, value in largest.items() if value < ZERO]
    told = ", ".join(f"{key} up to {value:.3g}" for key, value in largest.items())
    if zero and zero == [key for key in largest if key not in missing]:
        return Check(name, "fail", f"{told}: the corruption does not reach the answer.")
    if missing:
        return Check(name, "warn", f"{', '.join(missing)} could not be measured in any problem.")
    if zero == ["kl_first"]:
        why = "the first answer token is decided by the template. Read kl_value instead."
        return Check(name, "warn", f"{told}: {why}")
    if zero:
        return Check(name, "warn", f"{told}: the words before the value decide it already.")
    return Check(name, "pass", f"{told}.")


def every_corruption_changes_something(effects: xr.Dataset) -> Check:
    """Look for a corruption that moves nothing, whichever thought it is applied to."""
    name = "Every corruption changes something"
    measured = [abs(effects[key]) for key in KL_NAMES if key in effects]
    largest = np.fmax.reduce([kl.max(other_dims(kl, "corruption")).values for kl in measured])
    idle = [str(label) for label in effects["corruption"].values[largest < ZERO]]
    if idle:
        return Check(
            name,
            "warn",
            f"{', '.join(idle)} never moves the answer. Does it act after the pass it should "
            "change, or put back what was there?",
        )
    return Check(name, "pass", f"All {largest.size} do.")


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
    if any(floor.get(key, 0.0) > MOVES for key in KL_NAMES):
        return Check(name, "warn", f"It does: {told}. That is no rounding. Is dropout on?")
    return Check(name, "pass", f"At most: {told}.")


def effects_exceed_noise(effects: xr.Dataset) -> Check:
    """Look for outcomes whose effects are no larger than rounding."""
    name = "Effects exceed the noise"
    floor = _floor(effects)
    exceed = {
        key: float((abs(effects[key]) > floor[key]).sum() / effects[key].notnull().sum())
        for key in KL_NAMES
        if key in effects and effects[key].notnull().any() and np.isfinite(floor.get(key, np.nan))
    }
    if not exceed:
        return Check(name, "pass", "No divergence was measured that could be compared.")
    never = [key for key, fraction in exceed.items() if fraction == 0]
    if never:
        return Check(name, "warn", f"{', '.join(never)} never exceed what rounding alone does.")
    told = ", ".join(f"{fraction:.0%} of {key}" for key, fraction in exceed.items())
    return Check(name, "pass", f"Beyond what rounding alone does lie {told}.")


def _floor(effects: xr.Dataset) -> dict[str, float]:
    """Read the noise floor: a number for each outcome."""
    floor = effects.attrs["noise_floor"]
    if not isinstance(floor, dict):
        raise TypeError(
            "The attribute noise_floor must be a dict from outcome to its greatest deviation, got "
            f"{type(floor).__name__}. Write for instance {{'kl_value': 1e-6}}."
        )
    return {str(key): float(value) for key, value in floor.items()}
