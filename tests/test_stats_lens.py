"""How often a lens finds something is counted over problems, less what it finds by chance."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from cot_attn.stats import lens_agreement


def lens(rank: np.ndarray, others: np.ndarray, correct: np.ndarray) -> xr.Dataset:
    """Ranks (problem, target) and (problem, target, other)."""
    return xr.Dataset(
        {
            "rank": (("problem", "target"), rank),
            "baseline_rank": (("problem", "target", "other"), others),
        },
        coords={"problem": range(len(rank)), "correct": ("problem", correct)},
    )


def test_rates_are_counts_of_problems() -> None:
    rank = np.array([[1.0], [3.0], [1.0], [9.0], [np.nan]])
    others = np.array([[[1.0, 9.0]], [[9.0, 9.0]], [[2.0, np.nan]], [[9.0, 9.0]], [[1.0, 1.0]]])
    found = lens(rank, others, np.array([1.0, 1.0, 0.0, np.nan, 1.0]))
    top1, top3 = (lens_agreement(found, k).isel(target=0) for k in (1, 3))
    assert top1.rate.values.tolist() == [0.5, 0.5, 1.0]  # all, right, wrong
    assert top3.rate.values.tolist() == [0.75, 1.0, 1.0]
    assert top1.baseline.values.tolist() == [0.125, 0.25, 0.0]
    np.testing.assert_allclose(top1.estimate, [0.375, 0.25, 1.0])
    assert top1.n_problems.values.tolist() == [4, 2, 1]
    np.testing.assert_allclose(top1.estimate, top1.rate - top1.baseline)


def test_the_interval_of_the_rate_is_wilsons() -> None:
    rank = np.where(np.arange(50) < 30, 1.0, 2.0)[:, None]
    found = lens_agreement(lens(rank, np.full((50, 1, 3), 9.0), np.ones(50)))
    true = binomtest(30, 50).proportion_ci(method="wilson")
    at = found.sel(answered="all", target=0)
    np.testing.assert_allclose([at.rate_low, at.rate_high], [true.low, true.high])
    # Without a baseline that varies, that is the interval of the difference too.
    np.testing.assert_allclose([at.low, at.high], [true.low, true.high])


def test_intervals_hold_the_difference() -> None:
    """Four hundred times 80 problems."""
    rng = np.random.default_rng(0)
    rank = np.where(rng.random((80, 400)) < 0.4, 1.0, 5.0)
    others = np.where(rng.random((80, 400, 8)) < 0.1, 1.0, 5.0)
    at = lens_agreement(lens(rank, others, np.ones(80))).sel(answered="all")
    assert ((at.low <= 0.3) & (at.high >= 0.3)).mean() > 0.92


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_more_words_find_no_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank = rng.integers(1, 20, size=(12, 2)).astype(float)
    rank[rng.random(rank.shape) < 0.2] = np.nan
    found = lens(rank, rng.integers(1, 20, size=(12, 2, 3)).astype(float), rng.integers(0, 2, 12))
    rates = [lens_agreement(found, k).rate for k in (1, 5, 20)]
    for fewer, more in pairwise(rates):
        assert not (fewer > more).any()
    at = lens_agreement(found, 5)
    inside = (at.low <= at.estimate + 1e-12) & (at.estimate <= at.high + 1e-12)
    assert (inside | at.estimate.isnull()).all()
    assert (rates[2].sel(answered="all").fillna(1) == 1).all()


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ValueError, match=r"lacks .'baseline_rank', 'rank'"):
        lens_agreement(xr.Dataset())
    found = lens(np.ones((4, 1)), np.ones((4, 1, 2)), np.ones(4))
    with pytest.raises(ValueError, match="counted from 1"):
        lens_agreement(found, k=0)
    with pytest.raises(KeyError, match="no problem coordinate 'correct'"):
        lens_agreement(found.drop_vars("correct"))
    nobody = lens_agreement(found).sel(answered="wrong")
    assert nobody.rate.isnull().all()
    assert (nobody.n_problems == 0).all()
