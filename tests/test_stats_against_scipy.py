"""What SciPy and statsmodels compute too: tests, intervals and trends, the same figures."""

import numpy as np
import pytest
import statsmodels.api as sm
import xarray as xr
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cot_attn.stats import concentration_per_problem, contrasts, correlate, trend
from cot_attn.stats._inference.correlation import RELIABLE, profile_is_clear
from cot_attn.stats._inference.intervals import degrees_of_freedom, mean_interval

N_PROBLEMS, N_THOUGHTS = 30, 4


@pytest.fixture
def arrays() -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(3)
    coords = {
        "problem": [f"p{i}" for i in range(N_PROBLEMS)],
        "thought": range(N_THOUGHTS),
        "question_length": ("problem", rng.integers(10, 90, N_PROBLEMS)),
    }
    own = rng.normal(size=(N_PROBLEMS, N_THOUGHTS))
    made = (np.exp(own), 0.4 * own + rng.normal(size=own.shape))
    a, f = (xr.DataArray(x, coords, ("problem", "thought")) for x in made)
    return a, f


def test_within_a_thought_p_is_about_that_of_scipys_permutation_test(
    arrays: tuple[xr.DataArray, xr.DataArray],
) -> None:
    attention, failure = arrays
    found = correlate(attention, failure, "within_thought", n_resamples=4000)
    for thought in range(N_THOUGHTS):
        a, f = (x.values[:, thought] - x.values[:, thought].mean() for x in arrays)

        def studentised(order: np.ndarray, a: np.ndarray = a, f: np.ndarray = f) -> float:
            products = a * f[order.astype(int)]
            return products.sum() / np.sqrt((products**2).sum())

        expected = scipy_stats.permutation_test(
            (np.arange(N_PROBLEMS),),
            studentised,
            permutation_type="pairings",
            n_resamples=4000,
            rng=0,
        ).pvalue
        assert float(found.p.sel(thought=thought)) == pytest.approx(expected, abs=0.03)


def test_the_interval_of_a_correlation_is_the_jackknifes_on_fishers_scale(
    arrays: tuple[xr.DataArray, xr.DataArray],
) -> None:
    attention, failure = arrays
    a, f = attention.values[:, 1], failure.values[:, 1]
    z = np.arctanh(scipy_stats.pearsonr(a, f).statistic)
    without = [
        np.arctanh(scipy_stats.pearsonr(np.delete(a, i), np.delete(f, i)).statistic)
        for i in range(N_PROBLEMS)
    ]
    moves = np.array(without) - np.mean(without)
    error = np.sqrt((N_PROBLEMS - 1) / N_PROBLEMS * (moves**2).sum())
    (freedom,) = degrees_of_freedom(moves[:, None])
    reach = scipy_stats.t.ppf(0.975, max(freedom / 2, 1)) * error
    found = correlate(attention, failure, "within_thought").sel(thought=1)
    np.testing.assert_allclose((found.low, found.high), np.tanh([z - reach, z + reach]))


def test_degrees_of_freedom_follow_scipys_kurtosis() -> None:
    values = np.random.default_rng(0).gamma(1.0, size=200)
    kurtosis = scipy_stats.kurtosis(values, fisher=False)
    (freedom,) = degrees_of_freedom((values - values.mean())[:, None])
    assert freedom == pytest.approx(400 / (kurtosis - 1))


def test_the_interval_of_a_mean_solves_halls_transformation() -> None:
    """g(T) = T + s (T² / 3 + 1 / 6) / √n + s² T³ / 27 n must be Student's quantile at both ends."""
    values = np.random.default_rng(1).gamma(0.7, size=80)
    n, skew = len(values), scipy_stats.skew(values)
    (freedom,) = degrees_of_freedom((values - values.mean())[:, None])
    quantile = scipy_stats.t.ppf(0.975, freedom)

    def hall(t: float, target: float) -> float:
        return t + skew * (t**2 / 3 + 1 / 6) / np.sqrt(n) + skew**2 * t**3 / (27 * n) - target

    error = scipy_stats.sem(values)
    expected = [
        values.mean() - error * optimize.brentq(hall, -50, 50, args=(target,))
        for target in (quantile, -quantile)
    ]
    found = [bound[0] for bound in mean_interval(values[:, None])]
    np.testing.assert_allclose(found, expected)


def test_the_partial_correlation_is_the_textbooks_and_that_of_statsmodels_residuals(
    arrays: tuple[xr.DataArray, xr.DataArray],
) -> None:
    attention, failure = arrays
    found = correlate(attention, failure, "within_thought", partial="question_length")
    length = attention["question_length"].values.astype(float)
    for thought in range(N_THOUGHTS):
        a, f = attention.values[:, thought], failure.values[:, thought]
        af, al, fl = (
            scipy_stats.pearsonr(x, y).statistic for x, y in ((a, f), (a, length), (f, length))
        )
        textbook = (af - al * fl) / np.sqrt((1 - al**2) * (1 - fl**2))
        residuals = [sm.OLS(x, sm.add_constant(length)).fit().resid for x in (a, f)]
        estimate = float(found.estimate.sel(thought=thought))
        assert estimate == pytest.approx(textbook)
        assert estimate == pytest.approx(scipy_stats.pearsonr(*residuals).statistic)


@pytest.mark.slow
def test_q_and_p_holm_are_statsmodels_over_everything_that_was_tested() -> None:
    rng = np.random.default_rng(4)
    failed = (rng.random((60, 5)) < [0.1, 0.3, 0.35, 0.6, 0.9]).astype(float)
    found = contrasts(xr.DataArray(failed, dims=("problem", "thought")))
    p = []
    for first, second in zip(found.first.values, found.second.values, strict=True):
        one, other = failed[:, first], failed[:, second]
        table = [[((one == i) & (other == j)).sum() for j in (1, 0)] for i in (1, 0)]
        p.append(mcnemar(table, exact=True).pvalue)
    np.testing.assert_allclose(found.p, np.minimum(p, 1))
    np.testing.assert_allclose(found.p_holm, multipletests(p, method="holm")[1])
    np.testing.assert_allclose(found.q, multipletests(p, method="fdr_bh")[1])


def test_the_interval_of_a_paired_difference_adds_half_a_problem_to_every_cell() -> None:
    """Agresti and Min (2005): then Wald's. 1 = only the second failed, -1 = only the first."""
    counts = {(1, 1): 5, (1, 0): 3, (0, 1): 12, (0, 0): 20}
    rows = [pair for pair, count in counts.items() for _ in range(count)]
    found = contrasts(xr.DataArray(np.array(rows, float), dims=("problem", "thought"))).isel(pair=0)
    cells = {pair: count + 0.5 for pair, count in counts.items()}
    n = sum(cells.values())
    differences = np.repeat([0, -1, 1, 0], [int(10 * cells[pair]) for pair in counts])
    error = differences.std() / np.sqrt(n)
    reach = scipy_stats.norm.ppf(0.975) * error
    expected = [differences.mean() - reach, differences.mean() + reach]
    np.testing.assert_allclose((found.low, found.high), expected)


def gathering(strength: float) -> xr.DataArray:
    """Shares that gather on fewer thoughts from layer to layer."""
    rng = np.random.default_rng(5)
    layers = np.array([0, 3, 6, 11])
    logits = (1 + strength * layers)[:, None] * rng.normal(size=(40, 4, 6))
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return xr.DataArray(shares, {"layer": layers}, ("problem", "layer", "thought"))


def test_the_trend_is_the_mean_of_scipys_slopes_with_the_p_of_its_sign_flips() -> None:
    entropy = concentration_per_problem(gathering(0.01)).sel(measure="entropy")
    found = trend(entropy, n_resamples=4000)
    depth = entropy["layer"].values / 11
    slopes = np.array([scipy_stats.linregress(depth, problem).slope for problem in entropy.values])
    assert float(found.estimate) == pytest.approx(slopes.mean())
    expected = scipy_stats.permutation_test(
        (slopes,), np.mean, permutation_type="samples", n_resamples=4000, rng=0
    )
    assert 0.02 < expected.pvalue < 0.98  # where it would be at an end, any test would agree
    assert float(found.p) == pytest.approx(expected.pvalue, abs=0.03)


@pytest.mark.parametrize(("strength", "there"), [(0.0, False), (0.1, True)])
def test_pages_test_agrees_on_whether_there_is_a_trend(strength: float, there: bool) -> None:
    """Page's L looks at ranks within problems, in the order predicted: entropy falls."""
    entropy = concentration_per_problem(gathering(strength)).sel(measure="entropy")
    page = scipy_stats.page_trend_test(entropy.values, predicted_ranks=[4, 3, 2, 1])
    found = trend(entropy)
    assert (page.pvalue < 0.01) == there
    assert (float(found.high) < 0) == there
    assert (float(found.p) < 0.01) == there


def test_a_profile_is_clear_where_the_f_ratio_of_a_two_way_layout_says_so() -> None:
    rng = np.random.default_rng(5)
    n_problems, n_thoughts = 8, 4
    spread = np.linspace(0, 2, n_thoughts)[:, None] * np.linspace(0.4, 2, 200)
    values = spread + rng.normal(size=(n_problems, n_thoughts, 200))
    values += 3 * rng.normal(size=(n_problems, 1, 200))  # problems differ, which is no noise
    rows, columns = np.indices((n_problems, n_thoughts))
    dummies = [rows.ravel()[:, None] == np.arange(1, n_problems)]
    nothing = sm.add_constant(np.hstack(dummies).astype(float))
    full = np.hstack([nothing, columns.ravel()[:, None] == np.arange(1, n_thoughts)])
    fits = [
        (sm.OLS(y, full.astype(float)).fit(), sm.OLS(y, nothing).fit())
        for y in values.reshape(-1, 200).T
    ]
    ratio = np.array([with_thoughts.compare_f_test(without)[0] for with_thoughts, without in fits])
    expected = 1 - 1 / ratio >= RELIABLE
    assert 40 < expected.sum() < 160
    np.testing.assert_array_equal(profile_is_clear(values), expected)
