"""The correlations against SciPy, and the laws that hold for all of them."""

from inspect import unwrap  # users have no type checker that speaks first

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cot_attn.stats import correlate
from cot_attn.stats._inference.estimands import ESTIMANDS

N_PROBLEMS, N_THOUGHTS = 40, 5


def world(seed: int = 0, n_problems: int = N_PROBLEMS) -> tuple[xr.DataArray, xr.DataArray]:
    """Attention over two layers, with problems and thoughts that differ; layer 1 matters."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n_problems, N_THOUGHTS, 2))
    shared = rng.normal(size=(1, N_THOUGHTS, 1)) + rng.normal(size=(n_problems, 1, 1))
    attention = np.exp(0.3 * (own + shared))
    failure = own[:, :, 1] + rng.normal(size=(n_problems, N_THOUGHTS)) + rng.normal(size=N_THOUGHTS)
    coords = {
        "problem": [f"p{i}" for i in range(n_problems)],
        "thought": range(N_THOUGHTS),
        "difficulty": ("problem", rng.integers(1, 3, n_problems).astype(float)),
        "question_length": ("problem", rng.integers(10, 90, n_problems)),
    }
    return (
        xr.DataArray(
            attention, dims=("problem", "thought", "layer"), coords={**coords, "layer": [3, 7]}
        ),
        xr.DataArray(failure, dims=("problem", "thought"), coords=coords),
    )


def double_centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_every_estimand_is_scipys_correlation_of_the_centred_values(method: str) -> None:
    attention, failure = world()
    scipys = {"pearson": scipy_stats.pearsonr, "spearman": scipy_stats.spearmanr}[method]
    a, f = attention.sel(layer=7).values, failure.values
    expected = {
        "pooled": scipys(a.ravel(), f.ravel()).statistic,
        "between_thoughts": scipys(a.mean(axis=0), f.mean(axis=0)).statistic,
        "within_problem": scipys(double_centred(a).ravel(), double_centred(f).ravel()).statistic,
        "within_thought": [scipys(a[:, t], f[:, t]).statistic for t in range(N_THOUGHTS)],
    }
    for estimand, value in expected.items():
        found = correlate(attention, failure, estimand, method, n_resamples=19).sel(layer=7)
        np.testing.assert_allclose(found.estimate, value, atol=1e-10, err_msg=estimand)


def test_between_thoughts_has_the_p_of_scipys_exact_permutation_test() -> None:
    attention, failure = world()
    a, f = attention.sel(layer=7).values.mean(axis=0), failure.values.mean(axis=0)
    expected = scipy_stats.permutation_test(
        (f,),
        lambda x: scipy_stats.pearsonr(a, x).statistic,
        permutation_type="pairings",
        n_resamples=np.inf,
    )
    found = correlate(attention, failure, "between_thoughts").sel(layer=7)
    assert float(found.p) == pytest.approx(expected.pvalue)


def test_within_problem_has_about_the_p_of_scipys_permutation_test() -> None:
    attention, failure = world()
    a, f = double_centred(attention.sel(layer=3).values), double_centred(failure.values)

    def studentised(order: np.ndarray) -> float:
        products = (a * f[order.astype(int)]).sum(axis=1)
        return products.sum() / np.sqrt((products**2).sum())

    expected = scipy_stats.permutation_test(
        (np.arange(N_PROBLEMS),),
        studentised,
        permutation_type="pairings",
        n_resamples=4000,
        rng=0,
    )
    found = correlate(attention, failure, n_resamples=4000).sel(layer=3)
    assert float(found.p) == pytest.approx(expected.pvalue, abs=0.03)


def test_a_planted_relation_within_problems_is_found_in_its_layer_only() -> None:
    found = correlate(*world(n_problems=100))
    assert float(found.low.sel(layer=7)) > 0.2
    assert float(found.q.sel(layer=7)) < 0.01
    assert float(found.p.sel(layer=3)) > 0.05


def test_the_partial_correlation_is_that_of_least_squares_residuals() -> None:
    attention, failure = world()
    length = attention["question_length"].values
    a, f = attention.sel(layer=7, thought=1).values, failure.sel(thought=1).values
    a, f = (x - np.polyval(np.polyfit(length, x, 1), length) for x in (a, f))
    found = correlate(attention, failure, "within_thought", partial="question_length")
    expected = scipy_stats.pearsonr(a, f).statistic
    assert float(found.estimate.sel(layer=7, thought=1)) == pytest.approx(expected)


def test_length_that_drives_both_makes_a_relation_that_partialling_removes() -> None:
    attention, failure = world(n_problems=200)
    slope = xr.DataArray(np.linspace(-1, 1, N_THOUGHTS), dims="thought")
    influence = 0.2 * attention["question_length"] * slope
    driven = attention + influence, failure + influence
    raw = correlate(*driven).sel(layer=3)
    cleaned = correlate(*driven, partial="question_length").sel(layer=3)
    assert float(raw.low) > 0.5
    assert abs(float(cleaned.estimate)) < 0.1


def test_by_difficulty_each_stratum_is_what_it_would_be_alone() -> None:
    attention, failure = world()
    found = correlate(attention, failure, by="difficulty")
    easy = attention["difficulty"].values == 1.0
    alone = correlate(attention.isel(problem=easy), failure.isel(problem=easy))
    assert found.estimate.dims == ("difficulty", "layer")
    xr.testing.assert_allclose(found.sel(difficulty=1.0, drop=True)["p"], alone["p"])
    assert int(found.n_problems.sel(difficulty=1.0, layer=3)) == easy.sum()


def test_problems_without_a_baseline_do_not_count() -> None:
    attention, failure = world()
    failure[:7] = np.nan
    found = correlate(attention, failure)
    alone = correlate(attention[7:], failure[7:])
    assert (found.n_problems == N_PROBLEMS - 7).all()
    xr.testing.assert_identical(found["estimate"], alone["estimate"])


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_constant_attention_gives_nan_and_says_why(estimand: str) -> None:
    attention, failure = world()
    attention[:, :, 0] = np.float32(1 / 49)
    found = correlate(attention, failure, estimand, n_resamples=99)
    constant = found.sel(layer=3)
    assert constant[["estimate", "low", "high", "p", "q"]].isnull().all().to_array().all()
    assert "attention does not vary" in str(constant.reason.values.ravel()[0])
    assert found.sel(layer=7).p.notnull().all()


def test_attention_that_is_one_over_length_has_no_relation_within_problems() -> None:
    """The published GPT-2 column: constant within a problem, but for the thought's position."""
    attention, failure = world()
    row_mean = 1 / attention["question_length"].astype(np.float32)
    found = correlate(row_mean.expand_dims(thought=range(N_THOUGHTS)), failure)
    assert np.isnan(found.estimate)
    assert "does not vary within problems" in found.reason.item()


def test_three_problems_are_declined() -> None:
    attention, failure = world(n_problems=3)
    found = correlate(attention, failure)
    assert found.p.isnull().all()
    assert "only 3 complete problems" in found.reason.values[0]


def test_ranks_of_a_binary_outcome_within_problems_have_no_interval() -> None:
    attention, failure = world()
    found = correlate(attention, (failure > 1.5).astype(float), method="spearman")
    assert found.p.notnull().all()
    assert found.low.isnull().all()
    assert "most values of failure are equal" in found.reason.values[0]


def test_noise_between_thoughts_has_no_interval_but_a_p() -> None:
    rng = np.random.default_rng(0)
    coords = {"problem": range(50), "thought": range(6)}
    a, f = (
        xr.DataArray(rng.normal(size=(50, 6)), dims=("problem", "thought"), coords=coords)
        for _ in range(2)
    )
    found = correlate(a, f, "between_thoughts")
    assert np.isfinite(found.p)
    assert np.isnan(found.low)
    assert "does not differ clearly between thoughts" in found.reason.item()


def test_the_pooled_figure_carries_a_warning_and_the_default_none() -> None:
    attention, failure = world(n_problems=120)
    assert "mixes" in correlate(attention, failure, "pooled").attrs["warning"]
    assert "warning" not in correlate(attention, failure).attrs


def test_a_small_sample_is_said_to_be_one() -> None:
    attention, failure = world(n_problems=30)
    warnings = correlate(attention, failure).attrs["warnings"]
    assert any("30 problems" in warning for warning in warnings)


def test_many_heads_and_few_resamples_are_warned_of() -> None:
    attention, failure = world(n_problems=120)
    heads = xr.concat([attention] * 50, dim="head").assign_coords(head=range(50))
    warnings = correlate(heads, failure, n_resamples=199).attrs["warnings"]
    assert any("n_resamples=4000" in warning for warning in warnings)
    assert "warnings" not in correlate(attention, failure).attrs


def test_unequal_problem_sets_raise_and_inner_joins_by_id_and_says_so() -> None:
    attention, failure = world()
    shuffled = failure[::-1][5:]
    with pytest.raises(ValueError, match=r"5 only in attention .*join='inner'"):
        correlate(attention, shuffled)
    found = correlate(attention, shuffled, join="inner")
    assert found.attrs["join"] == "inner"
    assert found.attrs["n_left_out_by_join"] == 5
    xr.testing.assert_allclose(found["p"], correlate(attention[:-5], failure[:-5])["p"])


def test_wrong_arguments_are_told_what_is_accepted() -> None:
    attention, failure = world()
    with pytest.raises(ValueError, match="within_problem"):
        unwrap(correlate)(attention, failure, "within")
    with pytest.raises(ValueError, match="pearson"):
        unwrap(correlate)(attention, failure, method="kendall")
    with pytest.raises(ValueError, match="corruption"):
        correlate(attention, failure.expand_dims(corruption=["zero"]))
    with pytest.raises(KeyError, match="question_length"):
        correlate(attention, failure, by="topic")
    with pytest.raises(ValueError, match="no labels along 'problem'"):
        correlate(attention.drop_vars("problem"), failure)
    with pytest.raises(TypeError, match="share"):
        unwrap(correlate)(attention.to_dataset(name="attention"), failure)
    with pytest.raises(ValueError, match="repeated labels"):
        correlate(xr.concat([attention, attention[:1]], dim="problem"), failure)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    estimand=st.sampled_from(ESTIMANDS),
    method=st.sampled_from(["pearson", "spearman"]),
)
def test_relabelling_and_reordering_change_nothing_but_the_labels(
    seed: int, estimand: str, method: str
) -> None:
    attention, failure = world(seed, n_problems=20)
    rng = np.random.default_rng(seed)
    problems, thoughts = rng.permutation(20), rng.permutation(N_THOUGHTS)
    names = {"problem": rng.permutation(20), "thought": np.arange(N_THOUGHTS)[::-1] + 10}
    before = correlate(attention, failure, estimand, method, n_resamples=99)
    new_a, new_f = (
        array.isel(problem=problems, thought=thoughts).assign_coords(names)
        for array in (attention[:, :, ::-1], failure)
    )
    after = correlate(new_a, new_f, estimand, method, n_resamples=99).sel(layer=[3, 7])
    for name in ("estimate", "low", "high", "p", "q"):
        expected = before[name]
        if "thought" in expected.dims:
            expected = expected.isel(thought=thoughts)
        np.testing.assert_allclose(after[name], expected, atol=1e-9, err_msg=name)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.01, 100), estimand=st.sampled_from(ESTIMANDS))
def test_scaling_attention_changes_no_rank_statistic(factor: float, estimand: str) -> None:
    attention, failure = world(1, n_problems=20)
    before = correlate(attention, failure, estimand, "spearman", n_resamples=99)
    after = correlate(factor * attention, failure, estimand, "spearman", n_resamples=99)
    for name in ("estimate", "low", "high", "p"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-9)


def test_the_same_seed_gives_the_same_result_and_blocks_of_heads_do_not_show() -> None:
    attention, failure = world()
    heads = xr.concat([attention] * 150, dim="head").assign_coords(head=range(150))
    found = correlate(heads, failure, n_resamples=99)
    xr.testing.assert_identical(found, correlate(heads, failure, n_resamples=99))
    for head in (0, 149):
        alone = correlate(attention, failure, n_resamples=99)
        np.testing.assert_array_equal(found.p.isel(head=head), alone.p)


@pytest.mark.slow
def test_the_default_rejects_as_often_as_it_says_where_the_published_recipe_does_not() -> None:
    """No relation, but effects of problems and of positions: 200 runs at 5 %."""
    rng = np.random.default_rng(0)
    ours, published = [], []
    coords = {"problem": range(60), "thought": range(6)}
    for _ in range(200):
        a, f = (
            rng.normal(size=(60, 6)) + rng.normal(size=(60, 1)) + rng.normal(size=(1, 6))
            for _ in range(2)
        )
        published.append(scipy_stats.pearsonr(a.ravel(), f.ravel()).pvalue < 0.05)
        arrays = (xr.DataArray(x, dims=("problem", "thought"), coords=coords) for x in (a, f))
        ours.append(float(correlate(*arrays, n_resamples=99).p) <= 0.05)
    assert np.mean(published) > 0.3
    assert np.mean(ours) < 0.09  # 99 % of what 5 % gives in 200 runs
