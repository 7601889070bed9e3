from inspect import unwrap  # users have no type checker that speaks first

import numpy as np
import pytest
import xarray as xr
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from cot_attn.stats import contrasts, importance, worst_thought
from cot_attn.stats._inference.intervals import mean_interval


def effects(n_problems: int = 60, seed: int = 0) -> xr.Dataset:
    """Thought 2 breaks most answers; every third problem had a wrong baseline."""
    rng = np.random.default_rng(seed)
    chance = np.array([0.1, 0.2, 0.7, 0.3])
    failed = (rng.random((n_problems, 4, 2)) < chance[:, None]).astype(float)
    failed[::3] = np.nan
    return xr.Dataset(
        {
            "failed": (("problem", "thought", "corruption"), failed),
            "kl_value": (("problem", "thought", "corruption"), failed * 2.5 + 0.1),
        },
        coords={
            "problem": [f"p{i}" for i in range(n_problems)],
            "thought": range(4),
            "corruption": ["zero", "resample"],
            "difficulty": ("problem", 1.0 + np.arange(n_problems) % 2),
            "question_length": ("problem", np.arange(n_problems)),
        },
    )


def test_a_rate_counts_baseline_correct_problems_and_has_wilsons_interval() -> None:
    data = effects()
    found = importance(data, by="corruption").sel(corruption="zero", thought=2)
    failed = data.failed.sel(corruption="zero", thought=2).dropna("problem")
    assert int(found.n_problems) == 40
    assert float(found.estimate) == failed.mean()
    expected = proportion_confint(failed.sum(), 40, method="wilson")
    np.testing.assert_allclose((found.low, found.high), expected)


def test_the_default_is_the_mean_over_corruptions_with_problems_as_the_unit() -> None:
    data = effects()
    found = importance(data)
    by_problem = data.failed.mean("corruption", skipna=False).dropna("problem")
    np.testing.assert_allclose(found.estimate, by_problem.mean("problem"))
    low, high = mean_interval(np.sort(by_problem.values, axis=0))
    np.testing.assert_allclose(found.low, np.clip(low, 0, 1))
    np.testing.assert_allclose(found.high, np.clip(high, 0, 1))


def test_corruptions_of_one_problem_are_not_independent_samples() -> None:
    """Seven corruptions that always agree say no more than one."""
    one = effects().isel(corruption=[0])
    seven = xr.concat([one] * 7, dim="corruption").assign_coords(corruption=list("abcdefg"))
    xr.testing.assert_allclose(importance(seven)["low"], importance(one)["low"])


def test_no_failure_at_all_still_has_an_upper_limit() -> None:
    data = effects()
    none = data.assign(failed=data.failed * 0)
    found = importance(none)
    assert (found.estimate == 0).all()
    np.testing.assert_allclose(found.high, proportion_confint(0, 40, method="wilson")[1])


def test_by_difficulty_and_corruption_each_cell_is_its_own_rate() -> None:
    data = effects()
    found = importance(data, by=["difficulty", "corruption"])
    assert found.estimate.dims == ("difficulty", "corruption", "thought")
    cell = data.failed.isel(problem=data.difficulty.values == 2.0).sel(corruption="zero", thought=1)
    expected = float(cell.mean())
    assert float(found.estimate.sel(difficulty=2, corruption="zero", thought=1)) == expected


def test_other_outcomes_are_averaged_too_and_not_clipped_to_a_rate() -> None:
    found = importance(effects(), "kl_value")
    assert float(found.estimate.max()) > 1
    assert "n_failures" not in found


def test_the_worst_thought_is_found_with_a_wider_interval_and_certainty() -> None:
    data = effects()
    worst = worst_thought(data)
    single = importance(data).sel(thought=2)
    assert int(worst.thought) == 2
    assert float(worst.certainty) > 0.95
    assert float(worst.low) < float(single.low)
    assert float(worst.high) > float(single.high)


def test_two_equally_bad_thoughts_leave_the_worst_uncertain() -> None:
    data = effects()
    data["failed"][:, 1] = data["failed"].values[:, 2]
    assert float(worst_thought(data).certainty) == pytest.approx(0.5, abs=0.05)


def test_importance_without_a_single_right_baseline_is_nan_with_no_problems() -> None:
    data = effects()
    found = importance(data.assign(failed=data.failed * np.nan))
    assert found.estimate.isnull().all()
    assert (found.n_problems == 0).all()


def test_an_unknown_outcome_or_group_is_told_what_there_is() -> None:
    with pytest.raises(KeyError, match="failed"):
        importance(effects(), "broken")
    with pytest.raises(KeyError, match="question_length"):
        importance(effects(), by="topic")
    with pytest.raises(TypeError, match="TokenAblator"):
        unwrap(importance)(effects().failed)


def test_contrasts_of_one_corruption_are_mcnemars_exact_test() -> None:
    failed = effects(90).failed.sel(corruption="zero")
    found = contrasts(failed)
    kept = failed.dropna("problem").values
    for pair in range(found.sizes["pair"]):
        first, second = int(found.first[pair]), int(found.second[pair])
        table = [
            [((kept[:, first] == i) & (kept[:, second] == j)).sum() for j in (1, 0)] for i in (1, 0)
        ]
        assert float(found.p[pair]) == pytest.approx(mcnemar(table, exact=True).pvalue)
        difference = kept[:, second].mean() - kept[:, first].mean()
        assert float(found.estimate[pair]) == pytest.approx(difference)
        assert float(found.low[pair]) < difference < float(found.high[pair])
    assert (found.p_holm >= found.q).all()


def test_contrasts_of_means_over_corruptions_flip_signs() -> None:
    found = contrasts(effects(120).failed.mean("corruption"))
    assert "signs" in found.attrs["test"]
    pair = (found.first.values == 0) & (found.second.values == 2)
    assert float(found.p[pair][0]) < 0.001
    assert float(found.low[pair][0]) > 0.3


def test_flipping_signs_agrees_with_every_sign_tried() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1, size=(10, 2))
    values[:, 0] = 0
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    exact = np.mean(np.abs(signs @ values[:, 1]) >= abs(values[:, 1].sum()) - 1e-12)
    found = contrasts(xr.DataArray(values, dims=("problem", "thought")), n_resamples=20_000)
    assert float(found.p[0]) == pytest.approx(exact, abs=0.01)


def test_contrasts_between_corruptions_are_made_for_every_thought() -> None:
    found = contrasts(effects().failed, between="corruption")
    assert found.p.dims == ("pair", "thought")
    assert found.attrs["n_tests"] == 4


def test_identical_columns_are_not_different() -> None:
    failed = effects().failed.sel(corruption="zero")
    failed[:, 1] = failed[:, 0]
    found = contrasts(failed).isel(pair=0)
    assert float(found.p) == 1.0
    assert float(found.low) < 0 < float(found.high)
    graded = effects().failed.mean("corruption")
    graded[:, 1] = graded[:, 0]
    declined = contrasts(graded).isel(pair=0)
    assert np.isnan(declined.p)
    assert "same in all problems" in declined.reason.item()
