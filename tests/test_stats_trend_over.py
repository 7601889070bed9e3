"""A trend over models: against statsmodels, and honest where models are few."""

from importlib import import_module
from itertools import permutations

import numpy as np
import pytest
import statsmodels.api as sm
import xarray as xr
from scipy.stats import binomtest, pearsonr

from cot_attn.stats import trend_over

SIZES = np.array([3e4, 1e5, 2e5, 5e5, 1e6])


def simulated(
    rng: np.random.Generator,
    slope: float = 0.0,
    n_seeds: int = 3,
    families: tuple[str, ...] = ("a", "b"),
    between: float = 0.05,
    within: float = 0.02,
) -> xr.DataArray:
    """Models whose sizes deviate from a line together, and whose seeds deviate from their size."""
    rows = []
    for level, family in enumerate(families):
        for size in SIZES:
            centre = level + slope * np.log10(size) + between * rng.normal()
            for _ in range(n_seeds):
                rows.append((family, size, centre + within * rng.normal(), rng.uniform(0.5, 1)))
    family, size, value, accuracy = zip(*rows, strict=True)
    return xr.DataArray(
        np.array(value),
        dims="model",
        coords={
            "family": ("model", np.array(family)),
            "n_parameters": ("model", np.array(size)),
            "accuracy": ("model", np.array(accuracy)),
        },
    )


def test_line_and_interval_are_those_of_least_squares_through_the_sizes() -> None:
    values = simulated(np.random.default_rng(0), slope=0.3)
    for covariates in ((), ("accuracy",)):
        found = trend_over(values, covariates=covariates)
        table = values.to_dataframe("value").groupby(["family", "n_parameters"]).mean()
        table = table.reset_index()
        columns = [table["family"] == "a", table["family"] == "b", *(table[c] for c in covariates)]
        design = np.column_stack([*columns, np.log10(table["n_parameters"])]).astype(float)
        fitted = sm.OLS(table["value"].to_numpy(), design).fit()
        assert float(found["estimate"]) == pytest.approx(fitted.params[-1])
        low, high = fitted.conf_int()[-1]
        assert (float(found["low"]), float(found["high"])) == pytest.approx((low, high))
        assert int(found["n_sizes"]) == 10
        assert int(found["n_models"]) == 30


def test_the_test_lists_every_order_of_the_sizes() -> None:
    values = simulated(np.random.default_rng(1), slope=0.1, families=("a",))
    found = trend_over(values, family=None)
    means = values.groupby("n_parameters").mean().values
    observed = abs(pearsonr(np.log10(SIZES), means)[0])
    larger = [
        abs(pearsonr(np.log10(SIZES), order)[0]) >= observed - 1e-12
        for order in permutations(means)
    ]
    assert float(found["p"]) == pytest.approx(np.mean(larger))


@pytest.mark.slow
@pytest.mark.parametrize("covariates", [(), ("accuracy",)])
def test_nothing_is_found_too_often_where_there_is_nothing(
    covariates: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("cot_attn.stats.trend_over"), "LISTED_UP_TO", 0)
    n, hits, covered = 300, 0, 0
    for seed in range(n):
        values = simulated(np.random.default_rng(seed))
        found = trend_over(values, covariates=covariates, n_resamples=199)
        hits += bool(found["p"] <= 0.05)
        covered += bool(found["low"] <= 0 <= found["high"])
    assert binomtest(hits, n, 0.05, alternative="greater").pvalue > 0.001
    assert binomtest(covered, n, 0.95).pvalue > 0.001


def test_more_seeds_of_the_same_sizes_are_not_more_sizes() -> None:
    """Ten seeds a size do not narrow what the sizes' own scatter leaves open."""
    widths = {}
    for n_seeds in (1, 10):
        found = trend_over(simulated(np.random.default_rng(4), n_seeds=n_seeds, within=1e-6))
        widths[n_seeds] = float(found["high"] - found["low"])
    assert widths[10] > 0.3 * widths[1]


@pytest.mark.slow
def test_each_label_has_its_own_line_and_families_have_their_levels() -> None:
    values = simulated(np.random.default_rng(2), slope=0.2, between=0.0, within=0.0)
    both = xr.concat([values, -values], dim="corruption").assign_coords(corruption=["x", "y"])
    found = trend_over(both)
    np.testing.assert_allclose(found["estimate"].sel(corruption=["x", "y"]), [0.2, -0.2])
    assert (found["q"] >= found["p"]).all()
    shifted = values.assign_coords(
        n_parameters=values["n_parameters"] * xr.where(values["family"] == "b", 3.0, 1.0)
    )
    np.testing.assert_allclose(
        float(trend_over(shifted)["high"] - trend_over(shifted)["low"]), 0, atol=1e-9
    )
    mixed = trend_over(shifted, family=None)  # a family's level is scatter to who ignores it
    assert float(mixed["high"] - mixed["low"]) > 1


def test_few_models_are_said_to_be_few() -> None:
    values = simulated(np.random.default_rng(3), slope=0.2, families=("a",))
    two = values.where(values["n_parameters"] < 1.5e5, drop=True)
    found = trend_over(two, family=None)
    assert "2 sizes leave no scatter" in str(found["reason"].item())
    assert np.isnan(found["low"])
    assert float(found["p"]) != float(found["p"])
    one = values.where(values["n_parameters"] < 5e4, drop=True)
    assert "do not tell size apart" in str(trend_over(one, family=None)["reason"].item())
    three = trend_over(values.where(values["n_parameters"] < 3e5, drop=True), family=None)
    assert float(three["p"]) >= 1 / 6  # no smaller p can be had of three sizes


def test_models_without_a_number_are_left_out() -> None:
    values = simulated(np.random.default_rng(5), slope=0.2)
    values[0] = np.nan
    found = trend_over(values)
    assert int(found["n_models"]) == 29
    assert trend_over(values * 0)["p"].item() == 1.0


def test_what_is_missing_is_said() -> None:
    values = simulated(np.random.default_rng(6))
    with pytest.raises(ValueError, match="There is no coordinate 'width' along 'model'"):
        trend_over(values, "width")
    with pytest.raises(ValueError, match="needs the dimension 'model'"):
        trend_over(values.rename(model="problem"))
    with pytest.raises(ValueError, match="a size is above 0"):
        trend_over(values.assign_coords(n_parameters=0 * values["n_parameters"]))
    unknown = values["accuracy"].where(values["accuracy"] > 0.7)
    with pytest.raises(ValueError, match="accuracy is not known of every model"):
        trend_over(values.assign_coords(accuracy=unknown), covariates=["accuracy"])
