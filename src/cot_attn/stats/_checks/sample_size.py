"""Whether a result rests on enough problems and failures for its intervals to hold."""

import numpy as np
import xarray as xr

from cot_attn.stats._checks.check import Check

ENOUGH_PROBLEMS = 100  # from here on, 95 % intervals cover 93 % or more in the calibration
ENOUGH_FAILURES = 20
LEVEL = 0.05


def enough_problems(result: xr.Dataset) -> Check:
    """Look whether a result's intervals rest on enough problems; takes any with `n_problems`."""
    return _enough(result, "problems", ENOUGH_PROBLEMS)


def enough_failures(result: xr.Dataset) -> Check:
    """Look whether a result's intervals rest on enough failures; takes any with `n_failures`."""
    return _enough(result, "failures", ENOUGH_FAILURES)


def enough_resamples(result: xr.Dataset) -> Check:
    """Look whether one of a result's permutation tests could be significant among all of them."""
    name = "Enough resamples"
    n_tests, n_resamples = result.attrs["n_tests"], result.attrs["n_resamples"]
    smallest_q = n_tests * 2 / (n_resamples + 1)
    if result.attrs["test"].endswith("labels") or smallest_q <= LEVEL:
        return Check(name, "pass", f"{n_resamples} for {n_tests} tests.")
    needed = int(np.ceil(n_tests * 2 / LEVEL))
    return Check(
        name,
        "warn",
        f"With {n_tests} tests and {n_resamples} resamples, q cannot fall below {LEVEL} for one "
        f"test alone. For that, pass n_resamples={needed} or more.",
    )


def with_warnings(result: xr.Dataset, *checks: Check) -> xr.Dataset:
    """Write into a result's attribute `warnings` what its sample size does not bear.

    Parameters
    ----------
    checks
        Further ones whose messages belong there if they do not pass.
    """
    every = [enough_problems(result), *checks]
    if "n_failures" in result:
        every.append(enough_failures(result))
    warnings = [check.message for check in every if check.status != "pass"]
    return result.assign_attrs(warnings=warnings) if warnings else result


def _enough(result: xr.Dataset, what: str, needed: int) -> Check:
    counts, estimate = (result[name].variable for name in (f"n_{what}", "estimate"))
    answered: xr.Variable = counts.where(estimate.notnull())  # type: ignore[no-untyped-call]
    fewest = int(np.nan_to_num(answered.min().values))
    told = f"The smallest figure rests on {fewest} {what}."
    if fewest >= needed:
        return Check(f"Enough {what}", "pass", told)
    advice = f"With fewer than {needed}, 95 % intervals may cover less often than they say."
    return Check(f"Enough {what}", "warn", f"{told} {advice}")
