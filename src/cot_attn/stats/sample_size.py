"""Whether a result rests on enough problems and failures for its intervals to hold."""

import xarray as xr

from cot_attn.stats.check import Check

ENOUGH_PROBLEMS = 100  # from here on, 95 % intervals cover 93 % or more in the calibration
ENOUGH_FAILURES = 20


def enough_problems(result: xr.Dataset) -> Check:
    """Look whether a result's intervals rest on enough problems; takes any with `n_problems`."""
    return _enough(result, "problems", ENOUGH_PROBLEMS)


def enough_failures(result: xr.Dataset) -> Check:
    """Look whether a result's intervals rest on enough failures; takes any with `n_failures`."""
    return _enough(result, "failures", ENOUGH_FAILURES)


def with_warnings(result: xr.Dataset) -> xr.Dataset:
    """Write into a result's attribute `warnings` what its sample size does not bear."""
    checks = [enough_problems(result)]
    if "n_failures" in result:
        checks.append(enough_failures(result))
    warnings = [check.message for check in checks if check.status != "pass"]
    return result.assign_attrs(warnings=warnings) if warnings else result


def _enough(result: xr.Dataset, what: str, needed: int) -> Check:
    fewest = int(result[f"n_{what}"].min())
    told = f"The smallest figure rests on {fewest} {what}."
    if fewest >= needed:
        return Check(f"Enough {what}", "pass", told)
    advice = f"With fewer than {needed}, 95 % intervals may cover less often than they say."
    return Check(f"Enough {what}", "warn", f"{told} {advice}")
