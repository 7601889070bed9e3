"""What can be wrong with a recording or with effects, looked for before anybody reads a figure."""

from collections.abc import Iterator

import xarray as xr

from cot_attn.stats._checks.attention import attention_varies, rows_sum_to_one, same_problems
from cot_attn.stats._checks.check import Check
from cot_attn.stats._checks.corruptions import corruptions_agree
from cot_attn.stats._checks.effects import (
    KL_NAMES,
    effects_exceed_noise,
    every_corruption_changes_something,
    failure_is_not_question_length,
    failure_varies,
    kl_is_not_all_zero,
    nothing_moves_unprovoked,
    provenance_is_complete,
)
from cot_attn.stats._checks.lengths import LENGTHS, all_have_all_thoughts
from cot_attn.stats._checks.sample_size import enough_failures, enough_problems
from cot_attn.stats._labelled.labels import as_effects
from cot_attn.stats.importance import importance


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

    Examples
    --------
    >>> dims = ("problem", "thought")
    >>> nothing_breaks = xr.Dataset({"failed": (dims, [[0.0, 0.0], [0.0, 0.0]])})
    >>> print(run_checks(effects=nothing_breaks)[0])
    fail: Some answers fail and some do not. None fails, whatever is corrupted: nothing can be
    compared.
    """
    if attention is None and effects is None:
        raise ValueError("There is nothing to check. Give attention, effects, or both.")
    if effects is not None:
        as_effects(effects)
    found = list(_all_checks(attention, effects))
    gravity = {"fail": 0, "warn": 1, "pass": 2}
    return tuple(sorted(found, key=lambda check: gravity[check.status]))


def _all_checks(
    attention: xr.Dataset | xr.DataArray | None, effects: xr.Dataset | None
) -> Iterator[Check]:
    lengths = [each for each in (effects, attention) if each is not None and LENGTHS in each.coords]
    if lengths:
        yield all_have_all_thoughts(lengths[0])
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
            if "corruption" in effects.dims:
                yield corruptions_agree(effects)
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
