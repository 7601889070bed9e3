"""The fitted line is SciPy's, and its band stays with whole problems."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import linregress

from cot_attn.stats import fitted_line


def world(n: int = 60, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(4), size=(n, 2)).transpose(0, 1, 2)
    failure = (rng.random((n, 4)) < 0.2 + 0.6 * shares[:, 0]).astype(float)
    ids = [f"p{i}" for i in range(n)]
    coords = {"problem": ids, "layer": [0, 5], "thought": range(4)}
    looked = xr.DataArray(shares, dims=("problem", "layer", "thought"), coords=coords)
    broken = xr.DataArray(
        failure, dims=("problem", "thought"), coords={"problem": ids, "thought": range(4)}
    )
    return looked, broken


def test_the_line_is_the_least_squares_line() -> None:
    shares, failure = world()
    line = fitted_line(shares, failure, n_resamples=50)
    for layer in (0, 5):
        x = shares.sel(layer=layer).values.ravel()
        fit = linregress(x, failure.values.ravel())
        here = line.sel(layer=layer).dropna("share")
        np.testing.assert_allclose(here["estimate"], fit.intercept + fit.slope * here["share"])
        assert here["share"].min() >= x.min()
        assert here["share"].max() <= x.max()
        assert (here["low"] <= here["high"]).all()


def test_the_order_of_problems_changes_nothing_and_missing_ones_are_left_out() -> None:
    shares, failure = world()
    line = fitted_line(shares, failure)
    backwards = fitted_line(shares[::-1], failure)
    xr.testing.assert_allclose(line, backwards)
    failure[3] = np.nan
    without = fitted_line(shares, failure)
    dropped = fitted_line(shares.drop_isel(problem=3), failure.drop_isel(problem=3))
    xr.testing.assert_allclose(without, dropped)
    assert without.attrs["n_problems"] == 59


def test_more_points_of_the_same_problems_do_not_narrow_the_band() -> None:
    shares, failure = world(30)
    # Four copies of each thought's value inside a problem are no new evidence.
    copies = [np.arange(4) + 4 * copy for copy in range(4)]
    wide_shares, wide_failure = (
        xr.concat([values.assign_coords(thought=labels) for labels in copies], "thought")
        for values in (shares, failure)
    )
    one, four = fitted_line(shares, failure), fitted_line(wide_shares, wide_failure)
    width, same = (line["high"] - line["low"] for line in (one, four))
    np.testing.assert_allclose(width, same, rtol=1e-6)


def test_constant_attention_has_no_line() -> None:
    shares, failure = world()
    line = fitted_line(xr.full_like(shares, 0.25), failure)
    assert np.isnan(line["estimate"]).all()


@pytest.mark.slow
def test_the_band_is_that_of_a_bootstrap_over_problems() -> None:
    shares, failure = world(40)
    line = fitted_line(shares, failure, n_resamples=4000).sel(layer=0).dropna("share")
    x, y = shares.sel(layer=0).values, failure.values
    rng = np.random.default_rng(1)
    slopes = []
    for _ in range(2000):
        chosen = rng.integers(len(x), size=len(x))
        fit = linregress(x[chosen].ravel(), y[chosen].ravel())
        slopes.append(fit.intercept + fit.slope * line["share"].values)
    low, high = np.quantile(slopes, (0.025, 0.975), axis=0)
    width = high - low
    assert (abs(line["low"].values - low) < 0.1 * width).all()
    assert (abs(line["high"].values - high) < 0.1 * width).all()
