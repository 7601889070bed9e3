"""What can be wrong with a recording or with effects, looked for before anybody reads a figure."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from jaxtyping import Bool
from scipy.stats import spearmanr

from cot_attn.stats.check import Check
from cot_attn.stats.estimands import NEGLIGIBLE
from cot_attn.stats.importance import importance
from cot_attn.stats.labels import as_array, join_by_label
from cot_attn.stats.sample_size import enough_failures, enough_problems
from cot_attn.stats.shares import THOUGHT_KEY

ROW_SUM_TOLERANCE = 1e-3
ROUNDING = {"torch.bfloat16": 2.0**-8}  # by how much a row that sums to 1 can be off in this type
LENGTH_LEVEL = 0.01
ZERO = 1e-6  # a divergence below this, in nats, is none
MOVES = 0.01  # a divergence above this is no rounding in any number type
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
    if attention is None and effects is None:
        raise ValueError("There is nothing to check. Give attention, effects, or both.")
    given: object = effects
    if not isinstance(given, xr.Dataset | None):
        raise TypeError(
            f"effects is a {type(given).__name__}; give the Dataset of TokenAblator.run, which a "
            "study has as study.effects (its own checks are study.checks)."
        )
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
            yield failure_is_not_question_length(effects)
        if any(name in effects for name in KL_NAMES):
            yield kl_is_not_all_zero(effects)
            if "corruption" in effects.dims:
                yield every_corruption_changes_something(effects)
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
    tolerance = max(ROW_SUM_TOLERANCE, ROUNDING.get(str(attention.attrs.get("dtype")), 0.0))
    if off > tolerance:
        wrong = float((np.abs(finite - 1) > tolerance).mean())
        told = (
            f"{wrong:.1%} of the rows do not; the worst is off by {off:.3g}. Keys are missing, or "
            "these are means over a row and not the row."
        )
        if off <= max(ROUNDING.values()):
            told += " A model in bfloat16 rounds as much; say so in the attribute dtype."
        return Check(name, "fail", told)
    unseen = f" {empty:.1%} of the rows are empty (no value was found)." if empty else ""
    return Check(name, "pass", f"All do, within {off:.1g}.{unseen}")


def attention_varies(attention: xr.Dataset | xr.DataArray) -> Check:
    """Look for layers or heads in which all problems attend, or spread it on thoughts, alike."""
    rows = as_array(attention, "attention")
    name = "Attention differs between problems"
    if rows.sizes["problem"] < 2:
        return Check(name, "warn", "There is one problem, so this cannot be seen.")
    same = _same_in_all_problems(rows)
    if same.any():
        return Check(
            name,
            "fail" if same.all() else "warn",
            f"In {int(same.sum())} of {same.size} layers and heads all problems have the same "
            "attention; no correlation is defined there.",
        )
    thoughts = [key for key in rows["key"].values if THOUGHT_KEY.fullmatch(str(key))]
    if len(thoughts) > 1:
        on_thoughts = rows.sel(key=thoughts)
        total = on_thoughts.sum("key")
        alike = _same_in_all_problems(on_thoughts / total.where(total > 0))
        if alike.any():
            return Check(
                name,
                "warn",
                f"In {int(alike.sum())} of {alike.size} layers and heads all problems spread it "
                "over the thoughts alike, as even attention does; no correlation of shares is "
                "defined there.",
            )
    return Check(name, "pass", "It does, in every layer and head.")


def _same_in_all_problems(rows: xr.DataArray) -> Bool[np.ndarray, "*layer_head"]:
    spread = rows.max("problem") - rows.min("problem")
    widest = spread.max([dim for dim in ("query", "key") if dim in rows.dims])
    same: np.ndarray = (widest <= NEGLIGIBLE).values
    return same


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
    others = [dim for dim in effects["failed"].dims if dim != "problem"]
    failed = effects["failed"].mean(others).values
    length = effects["question_length"].values.astype(float)
    known = np.isfinite(failed) & np.isfinite(length)
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
    largest = np.fmax.reduce(
        [kl.max([dim for dim in kl.dims if dim != "corruption"]).values for kl in measured]
    )
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
    never = [key for key, part in exceed.items() if part == 0]
    if never:
        return Check(name, "warn", f"{', '.join(never)} never exceed what rounding alone does.")
    told = ", ".join(f"{part:.0%} of {key}" for key, part in exceed.items())
    return Check(name, "pass", f"Beyond what rounding alone does lie {told}.")


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
            f"{type(floor).__name__}. Write for instance {{'kl_value': 1e-6}}."
        )
    return {str(key): float(value) for key, value in floor.items()}
