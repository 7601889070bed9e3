"""Odd input: what cannot be answered is NaN with a reason, what cannot be meant is refused."""

from collections.abc import Callable
from inspect import unwrap  # users have no type checker that speaks first

import numpy as np
import pytest
import xarray as xr

from cot_attn.stats import (
    at_relative_depth,
    concentration,
    concentration_per_problem,
    contrasts,
    correlate,
    correlation_differences,
    effective_rank,
    evolution,
    fitted_line,
    importance,
    importance_concentration,
    join_by_label,
    mean_over_problems,
    norms,
    specialisation,
    successive_cosine,
    trend,
    worst_thought,
)

N_PROBLEMS, N_THOUGHTS = 40, 5


def arrays() -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(0)
    labels = {"problem": [f"p{i}" for i in range(N_PROBLEMS)], "thought": range(N_THOUGHTS)}
    attention = rng.dirichlet(np.ones(N_THOUGHTS), size=N_PROBLEMS)
    failure = (rng.random(attention.shape) < 0.3).astype(float)
    a, f = (xr.DataArray(x, labels, ("problem", "thought")) for x in (attention, failure))
    return a, f


def layered(attention: xr.DataArray) -> xr.DataArray:
    layers = xr.DataArray([0, 1, 2], dims="layer", name="layer")
    return xr.concat([attention] * 3, layers).transpose("problem", "layer", "thought")


A, F = arrays()
EFFECTS = F.to_dataset(name="failed")
MODELS = [xr.concat([x, x[::-1].assign_coords(problem=x.problem)], "model") for x in (A, F)]
MODELS = [x.assign_coords(model=["a", "b"]) for x in MODELS]
EVERY: dict[str, Callable[..., object]] = {
    "correlate": lambda **more: correlate(A, F, **more),
    "importance": lambda **more: importance(EFFECTS, **more),
    "worst_thought": lambda **more: worst_thought(EFFECTS, **more),
    "contrasts": lambda **more: contrasts(F, **more),
    "mean_over_problems": lambda **more: mean_over_problems(A, **more),
    "concentration": lambda **more: concentration(A, **more),
    "importance_concentration": lambda **more: importance_concentration(F, **more),
    "evolution": lambda **more: evolution(layered(A), **more),
    "trend": lambda **more: trend(concentration_per_problem(layered(A)), **more),
    "specialisation": lambda **more: specialisation(A, **more),
    "correlation_differences": lambda **more: correlation_differences(*MODELS, **more),
    "fitted_line": lambda **more: fitted_line(layered(A), F, **more),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_confidence_in_percent_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"confidence=95.0 .* 0\.95 for 95 %"):
        EVERY[name](confidence=95.0)


@pytest.mark.parametrize(
    "name", ["correlate", "worst_thought", "contrasts", "evolution", "trend", "specialisation"]
)
def test_too_few_resamples_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"n_resamples=0 .* 1000 or more"):
        EVERY[name](n_resamples=0)


@pytest.mark.parametrize(
    "compute",
    [
        mean_over_problems,
        concentration,
        importance_concentration,
        contrasts,
        specialisation,
        lambda values: importance(values.to_dataset(name="failed")),
    ],
)
def test_a_problem_that_is_there_twice_is_not_counted_twice(
    compute: Callable[[xr.DataArray], object],
) -> None:
    with pytest.raises(ValueError, match=r"repeated labels .*p0.*drop_duplicates"):
        compute(xr.concat([F, F[:1]], "problem"))


def test_ids_that_look_alike_but_are_of_another_type_are_told_apart() -> None:
    numbers = F.assign_coords(problem=range(N_PROBLEMS))
    texts = A.assign_coords(problem=[str(i) for i in range(N_PROBLEMS)])
    with pytest.raises(ValueError, match="str and int64: give both the same type"):
        correlate(texts, numbers)


def test_thoughts_that_differ_are_not_advised_a_join_that_would_not_help() -> None:
    fewer = F.isel(thought=[0, 1, 2])
    for join in ("exact", "inner"):
        with pytest.raises(ValueError, match=r"2 only in attention \(3, 4\)") as error:
            correlate(A, fewer, join=join)
        assert "inner" not in str(error.value)
        assert ".sel(thought=[...])" in str(error.value)
    with pytest.raises(ValueError, match=r"0 only in attention , 2 only in failure \(3, 4\)"):
        correlate(A.isel(thought=[0, 1, 2]), F)


def test_problems_that_differ_on_either_side_are_counted_and_the_first_three_are_named() -> None:
    ours, theirs = A.isel(problem=slice(5, None)), F.isel(problem=slice(None, -1))
    told = r"5 only in failure \(p0, p1, p2, \.\.\.\)\. Pass join='inner'"
    with pytest.raises(ValueError, match=rf"1 only in attention \(p39\), {told}"):
        correlate(ours, theirs)
    assert int(correlate(ours, theirs, join="inner", n_resamples=99).n_problems) == 34
    with pytest.raises(ValueError, match=r"3 only in failure \(p0, p1, p2\)\. Pass"):
        correlate(A.isel(problem=slice(3, None)), F)
    with pytest.raises(ValueError, match="no problem in common"):
        correlate(A[:20], F[20:], join="inner")
    with pytest.raises(ValueError, match=r"join='outer' is not known.*\['exact', 'inner'\]"):
        unwrap(join_by_label)(A, F, join="outer")


@pytest.mark.slow
def test_whole_numbers_booleans_and_single_precision_are_the_same_numbers() -> None:
    expected = correlate(A.astype(np.float32), F, n_resamples=99)
    for dtype in (bool, np.int8, np.float16):
        found = correlate(A.astype(np.float32), F.astype(dtype), n_resamples=99)
        xr.testing.assert_identical(found, expected)
        xr.testing.assert_identical(contrasts(F.astype(dtype)), contrasts(F))
        same = importance(F.astype(dtype).to_dataset(name="failed"))
        xr.testing.assert_allclose(same, importance(EFFECTS))


def test_a_study_without_a_right_baseline_is_nan_with_a_reason() -> None:
    found = correlate(layered(A), F * np.nan)
    assert found.estimate.isnull().all()
    assert set(found.reason.values) == {"only 0 complete problems; at least 4 are needed"}
    assert (found.n_problems == 0).all()


@pytest.mark.parametrize("estimand", ["within_problem", "within_thought", "pooled"])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_one_failure_has_a_correlation_but_no_interval(estimand: str, method: str) -> None:
    """Left out, it leaves nothing but rounding, from which no correlation may be made."""
    once = F * 0
    once[3, 2] = 1.0
    found = correlate(A, once, estimand, method, n_resamples=99)
    if estimand == "within_thought":
        found = found.sel(thought=2)
    assert np.isfinite(found.estimate)
    assert np.isnan(found.low)
    assert "no interval" in found.reason.item()


def test_a_profile_of_one_failure_has_no_interval_and_says_why() -> None:
    once = F * 0
    once[3, 2] = 1.0
    found = importance_concentration(once)
    assert found.low.isnull().all()
    assert set(found.reason.values) == {"no interval: without one of the problems all values are 0"}


@pytest.mark.parametrize("name", ["concentration", "mean_over_problems"])
def test_no_problem_at_all_is_nan_and_counts_none(name: str) -> None:
    found = {"concentration": concentration, "mean_over_problems": mean_over_problems}[name](A[:0])
    assert found.estimate.isnull().all()
    assert (found.n_problems == 0).all()
    with pytest.raises(ValueError, match="no problem"):
        importance(EFFECTS.isel(problem=[]))


def test_one_problem_has_no_interval_and_no_test() -> None:
    assert mean_over_problems(A[:1]).low.isnull().all()
    assert "only 1 complete problems" in correlate(A[:1], F[:1]).reason.item()
    assert set(contrasts(F[:1]).reason.values) == {"only 1 complete problems"}


def test_one_thought_has_nothing_to_be_compared_with() -> None:
    one = {"thought": [0]}
    assert "only 1 thoughts" in correlate(A.isel(one), F.isel(one)).reason.item()
    with pytest.raises(ValueError, match=r"one thought only \(\[0\]\)"):
        contrasts(F.isel(one))
    with pytest.raises(ValueError, match="nothing to prefer"):
        specialisation(A.isel(one))


def test_even_attention_has_no_preference_and_no_trend() -> None:
    """Not even where single precision leaves a trace of one."""
    noise = 1 + 1e-8 * np.random.default_rng(0).normal(size=(N_PROBLEMS, 3, N_THOUGHTS))
    even = layered(A * 0 + 1 / N_THOUGHTS) * noise
    np.testing.assert_allclose(specialisation(even).certainty, 1 / N_THOUGHTS, atol=1e-9)
    for found in (evolution(even), trend(concentration_per_problem(even))):
        assert found.p.isnull().all()
        assert set(found.reason.values.ravel()) == {"the difference is the same in all problems"}


def test_a_quantity_that_is_zero_or_one_in_every_layer_has_no_trend_either() -> None:
    alone = layered(xr.zeros_like(A).where(A.thought > 0, 1.0))
    assert trend(concentration_per_problem(alone)).p.isnull().all()


def test_a_trend_over_names_and_a_contrast_of_problems_are_refused() -> None:
    named = layered(A).assign_coords(layer=["first", "middle", "last"])
    with pytest.raises(ValueError, match=r"numbers along 'layer'.*'middle'"):
        trend(named)
    with pytest.raises(ValueError, match="another dimension"):
        contrasts(F, between="problem")


def test_differences_of_models_decline_where_the_correlations_themselves_would() -> None:
    found = correlation_differences(*MODELS, "between_thoughts")
    assert np.isnan(found.low.item())
    assert "does not differ clearly between thoughts" in found.reason.item()
    assert any("40 problems" in warning for warning in found.attrs["warnings"])


def test_what_is_no_labelled_array_is_told_what_is() -> None:
    with pytest.raises(TypeError, match=r"DataArray.*ndarray.*stats\.share"):
        unwrap(correlate)(A.values, F.values)
    with pytest.raises(ValueError, match=r"needs the dimensions.*'example'.*rename"):
        correlate(A.rename(problem="example"), F)


@pytest.mark.parametrize(
    "function",
    [
        concentration,
        concentration_per_problem,
        evolution,
        importance_concentration,
        mean_over_problems,
        specialisation,
        trend,
        norms,
        successive_cosine,
        effective_rank,
        at_relative_depth,
        lambda values: unwrap(correlation_differences)(values, values),
        lambda values: unwrap(fitted_line)(values, values),
    ],
)
def test_every_function_says_what_it_takes_and_how_to_make_one(
    function: Callable[..., object],
) -> None:
    with pytest.raises(
        TypeError, match=r"must be an xarray DataArray over \(.*got list\. \w+"
    ) as it:
        unwrap(function)([0.2, 0.8])
    assert str(it.value).startswith(("values", "shares", "states", "attention"))


@pytest.mark.parametrize(("name", "value"), [("estimand", "between"), ("method", "kendall")])
def test_models_are_compared_by_a_correlation_that_there_is(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}='{value}' is not known. Choose one of"):
        unwrap(correlation_differences)(*MODELS, **{name: value})
