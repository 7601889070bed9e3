import numpy as np
import pytest
import xarray as xr
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from cot_attn.stats import benjamini_hochberg, holm, mean_over_problems
from cot_attn.stats._inference.intervals import (
    degrees_of_freedom,
    leave_one_out_interval,
    mean_interval,
    wilson,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 17), (50, 50), (199, 1000)])
def test_wilson_is_what_statsmodels_gives(successes: int, n: int) -> None:
    low, high = wilson(np.array([successes]), np.array([n]))
    expected = proportion_confint(successes, n, method="wilson")
    np.testing.assert_allclose((low[0], high[0]), expected, atol=1e-12)


def test_wilson_of_nothing_is_nan() -> None:
    low, high = wilson(np.array([0]), np.array([0]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_the_interval_of_a_mean_is_students_where_nothing_is_skewed_or_heavy() -> None:
    values = scipy_stats.norm.ppf((np.arange(400) + 0.5) / 400) + 2.0
    (low,), (high,) = mean_interval(values[:, None])
    expected = scipy_stats.t.interval(0.95, 399, loc=2.0, scale=values.std(ddof=1) / 20)
    np.testing.assert_allclose((low, high), expected, rtol=1e-3)


def test_the_interval_of_a_skewed_mean_reaches_further_to_the_long_side() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=60))
    (low,), (high,) = mean_interval(values[:, None])
    assert high - values.mean() > 1.2 * (values.mean() - low)


def test_the_interval_of_a_skewed_mean_covers_more_often_than_students() -> None:
    rng = np.random.default_rng(1)
    samples = np.exp(rng.normal(size=(60, 2000)))
    truth = np.exp(0.5)
    low, high = mean_interval(samples)
    plain = scipy_stats.t.interval(
        0.95, 59, loc=samples.mean(axis=0), scale=scipy_stats.sem(samples, axis=0)
    )
    ours = ((low <= truth) & (truth <= high)).mean()
    students = ((plain[0] <= truth) & (truth <= plain[1])).mean()
    assert students < 0.92 < ours


def test_leaving_out_problems_gives_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(2).normal(size=50)
    left_out = (values.sum() - values) / 49
    (low,), (high,) = leave_one_out_interval(values.mean(keepdims=True), left_out[:, None])
    (freedom,) = degrees_of_freedom((values - values.mean())[:, None])
    expected = scipy_stats.t.ppf(0.975, freedom / 2) * scipy_stats.sem(values)
    assert (high - low) / 2 == pytest.approx(expected)


def test_few_problems_that_matter_leave_few_degrees_of_freedom() -> None:
    five_of_many = np.zeros((1000, 1))
    five_of_many[:5] = 1.0
    (freedom,) = degrees_of_freedom(five_of_many - five_of_many.mean())
    assert freedom == pytest.approx(10, rel=0.02)


@pytest.mark.slow
def test_adjusted_p_values_are_what_statsmodels_gives() -> None:
    p = np.random.default_rng(3).random(23) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_tests_that_were_not_made_do_not_count() -> None:
    p = np.array([[0.01, np.nan], [0.04, 0.2]])
    made = p[np.isfinite(p)]
    np.testing.assert_allclose(benjamini_hochberg(p)[np.isfinite(p)], benjamini_hochberg(made))
    np.testing.assert_allclose(holm(p)[np.isfinite(p)], holm(made))
    assert np.isnan(holm(p)[0, 1])


def test_a_mean_leaves_out_the_problems_that_have_no_value() -> None:
    values = xr.DataArray([[1.0, 5.0], [3.0, np.nan], [5.0, 7.0]], dims=("problem", "layer"))
    result = mean_over_problems(values)
    np.testing.assert_allclose(result.estimate, [3.0, 6.0])
    np.testing.assert_array_equal(result.n_problems, [3, 2])
