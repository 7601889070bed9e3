"""What is left within problems is what two-way analysis of variance leaves."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import linregress

from cot_attn import stats
from simulated_results import attention, effects


@pytest.fixture(scope="module")
def shares() -> xr.DataArray:
    return stats.share(attention()).mean("head", keep_attrs=True)


@pytest.fixture(scope="module")
def failure() -> xr.DataArray:
    return effects()["failed"].mean("corruption", skipna=False)


def residuals(values: np.ndarray) -> np.ndarray:
    """Regress on one dummy a problem and one a thought, by least squares."""
    n, m = values.shape
    problem, thought = np.indices((n, m)).reshape(2, -1)
    design = np.hstack([np.eye(n)[problem], np.eye(m)[thought]])
    solution = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    left: np.ndarray = (values.ravel() - design @ solution).reshape(n, m)
    return left


def test_what_is_left_are_the_residuals_of_two_way_dummies(shares: xr.DataArray) -> None:
    here = shares.isel(layer=1).transpose("problem", "thought")
    np.testing.assert_allclose(stats.double_centred(here), residuals(here.values), atol=1e-12)


def test_a_problem_with_a_missing_value_is_missing_and_does_not_move_the_others(
    failure: xr.DataArray,
) -> None:
    whole = failure.dropna("problem")
    holed = whole.copy(deep=True)
    holed[0, 2] = np.nan
    left = stats.double_centred(holed)
    assert left[0].isnull().all()
    xr.testing.assert_allclose(left[1:], stats.double_centred(whole[1:]))


def test_the_line_within_problems_is_a_regression_of_what_is_left(
    shares: xr.DataArray, failure: xr.DataArray
) -> None:
    here = shares.isel(layer=[2]).where(failure.notnull().all("thought"))
    looked, broken = stats.double_centred(here), stats.double_centred(failure)
    line = stats.fitted_line(looked, broken, n_resamples=99).isel(layer=0)
    x, y = looked.isel(layer=0).transpose("problem", "thought").values, broken.values
    known = np.isfinite(x) & np.isfinite(y)
    expected = linregress(x[known], y[known])
    rise = (line["estimate"].diff("share") / line["share"].diff("share")).dropna("share")
    np.testing.assert_allclose(rise, expected.slope, rtol=1e-8)


def order(first: list[int], second: list[int], n: int = 40) -> xr.Dataset:
    """Failures of two thoughts under two corruptions: so many of n problems."""
    failed = np.zeros((n, 2, 2))
    for corruption, counts in enumerate((first, second)):
        for thought, count in enumerate(counts):
            failed[:count, thought, corruption] = 1
    labels = {"problem": range(n), "thought": [0, 1], "corruption": ["zero", "resample"]}
    return xr.Dataset({"failed": (tuple(labels), failed)}, labels)


def check(effects: xr.Dataset) -> stats.Check:
    named = {found.name: found for found in stats.run_checks(effects=effects)}
    return named["Corruptions put thoughts in the same order"]


def test_corruptions_that_turn_thoughts_round_are_told_of_with_their_numbers() -> None:
    found = check(order([36, 10], [4, 30]))
    assert found.status == "warn"
    assert "zero breaks 90 % and 25 %, but resample breaks 10 % and 75 %" in found.message


@pytest.mark.parametrize("other", [[30, 4], [20, 21], [0, 0]])
def test_corruptions_that_agree_or_differ_by_chance_pass(other: list[int]) -> None:
    assert check(order([36, 10], other)).status == "pass"
