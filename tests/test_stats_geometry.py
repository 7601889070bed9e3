"""The geometry of thoughts: NumPy's norms, SciPy's cosines, and ranks of clouds that are known."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance

from cot_attn.stats import (
    cosine_similarity,
    effective_rank,
    mean_over_problems,
    norms,
    successive_cosine,
)

seeds = st.integers(0, 2**32 - 1)
lawful = settings(max_examples=30, deadline=None)


def states(seed: int = 0, n_problems: int = 12, n_thoughts: int = 3, d: int = 5) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(n_problems, n_thoughts, d))
    labels = {"problem": [f"p{i}" for i in range(n_problems)], "thought": range(n_thoughts)}
    return xr.DataArray(values, labels, ("problem", "thought", "d_model"))


def cloud(n_problems: int, variances: np.ndarray, seed: int) -> xr.DataArray:
    """Return normal states whose covariance has these eigenvalues, turned at random."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(len(variances), len(variances))))
    points = rng.normal(size=(n_problems, len(variances))) * np.sqrt(variances)
    return xr.DataArray(points @ rotation.T + 3.0, dims=("problem", "d_model"))


def participation_ratio(points: np.ndarray) -> float:
    eigenvalues = np.linalg.eigvalsh(np.cov(points, rowvar=False))
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


@pytest.mark.slow
@lawful
@given(seed=seeds)
def test_norms_are_numpys_and_cosines_scipys(seed: int) -> None:
    thoughts = states(seed)
    np.testing.assert_allclose(norms(thoughts), np.linalg.norm(thoughts, axis=-1))
    found = successive_cosine(thoughts)
    assert found["thought"].values.tolist() == [1, 2]
    for problem in range(3):
        for step in (1, 2):
            pair = thoughts[problem, step - 1], thoughts[problem, step]
            expected = 1 - distance.cosine(*pair)
            assert float(found[problem, step - 1]) == pytest.approx(expected)


def test_a_cosine_between_thoughts_is_the_cosine_similarity_of_the_two() -> None:
    thoughts = states()
    first, second = (thoughts.sel(thought=t, drop=True) for t in (0, 1))
    expected = cosine_similarity(first, second, "d_model")
    np.testing.assert_allclose(successive_cosine(thoughts).sel(thought=1), expected)
    assert mean_over_problems(successive_cosine(thoughts)).low.dims == ("thought",)


def test_a_missing_or_a_zero_vector_has_no_direction() -> None:
    thoughts = states()
    thoughts[0, 1, 2] = np.nan
    thoughts[1, 0] = 0.0
    assert norms(thoughts)[:2].isnull().values.tolist() == [[False, True, False], [False] * 3]
    missing = successive_cosine(thoughts)[:3].isnull().values.tolist()
    assert missing == [[True, True], [True, False], [False, False]]


@pytest.mark.slow
@lawful
@given(seed=seeds, d=st.integers(1, 20))
def test_uncorrected_is_the_participation_ratio_of_the_covariance(seed: int, d: int) -> None:
    thoughts = states(seed, d=d + 1)
    found = effective_rank(thoughts)
    expected = [participation_ratio(thoughts[:, t].values) for t in range(3)]
    np.testing.assert_allclose(found.uncorrected, expected)
    assert (found.estimate >= 1).all()
    assert (found.estimate <= d + 1 + 1e-9).all()
    assert ((found.low <= found.estimate) & (found.estimate <= found.high)).all()


@pytest.mark.slow
@lawful
@given(seed=seeds)
def test_the_estimate_is_the_jackknife_of_the_reciprocal(seed: int) -> None:
    """Written out: each problem left out in turn, with NumPy's covariance."""
    points = states(seed, n_problems=15, n_thoughts=1, d=8)
    values = points[:, 0].values
    each = [1 / participation_ratio(np.delete(values, i, axis=0)) for i in range(15)]
    corrected = 15 / participation_ratio(values) - 14 * np.mean(each)
    expected = 1 / np.clip(corrected, 1 / 8, 1)
    np.testing.assert_allclose(effective_rank(points).estimate, [expected])


@pytest.mark.slow
@lawful
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_neither_order_nor_unit_nor_place_nor_axes_change_a_rank(seed: int, factor: float) -> None:
    thoughts = states(seed)
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    shuffled = thoughts.isel(problem=rng.permutation(12))
    moved = factor * shuffled.copy(data=shuffled.values @ rotation + 2.0)
    xr.testing.assert_allclose(
        effective_rank(moved).drop_vars("reason"), effective_rank(thoughts).drop_vars("reason")
    )


@pytest.mark.slow
def test_known_ranks_are_found_where_the_samples_own_are_far_too_small() -> None:
    variances = 1 / np.arange(1, 65)
    truth = variances.sum() ** 2 / (variances**2).sum()
    found = [effective_rank(cloud(40, variances, seed)) for seed in range(100)]
    assert np.mean([rank.uncorrected for rank in found]) < 0.8 * truth
    reciprocals = [1 / rank.estimate for rank in found]
    error = np.std(reciprocals) / np.sqrt(len(found))
    assert abs(np.mean(reciprocals) - 1 / truth) < 3 * error
    covered = np.mean([rank.low <= truth <= rank.high for rank in found])
    assert covered >= 0.85  # of 100 runs; 40 problems are few


def test_a_line_has_one_direction_and_a_crossed_pair_two() -> None:
    line = xr.DataArray(np.outer(np.arange(8.0), [1.0, 2.0, 3.0]), dims=("problem", "d_model"))
    found = effective_rank(line)
    np.testing.assert_allclose([found.estimate, found.low, found.high, found.uncorrected], 1.0)
    axes = np.concatenate([np.eye(3)[:2], -np.eye(3)[:2]])
    crossed = xr.DataArray(np.tile(axes, (5, 1)), dims=("problem", "d_model"))
    assert float(effective_rank(crossed).uncorrected) == pytest.approx(2.0)


def test_what_has_no_rank_says_why() -> None:
    thoughts = states()
    thoughts[:, 0] = 1.5
    thoughts[1:, 1] = 0.25
    thoughts[:9, 2] = np.nan
    found = effective_rank(thoughts)
    assert found.estimate.isnull().all()
    assert found.reason.values.tolist() == [
        "the states do not vary between problems",
        "no interval: without one of the problems nothing varies",
        "only 3 complete problems; at least 4 are needed",
    ]
    assert found.n_problems.values.tolist() == [12, 12, 3]
    assert "problems" in found.attrs["warnings"][0]


def test_a_rank_is_told_for_each_label_of_what_is_left() -> None:
    layers = xr.DataArray([4, 8], dims="layer", name="layer")
    by_layer = xr.concat([states(), states(1)], layers)
    found = effective_rank(by_layer)
    assert found.estimate.sizes == {"layer": 2, "thought": 3}
    xr.testing.assert_allclose(found.sel(layer=8, drop=True), effective_rank(states(1)))


def test_what_has_no_vectors_or_one_thought_is_refused() -> None:
    for function in (norms, successive_cosine, effective_rank):
        with pytest.raises(ValueError, match=r"needs the dimensions .*'d_model'.*rename"):
            function(states().rename(d_model="feature"))
    assert norms(states().rename(d_model="feature"), "feature").dims == ("problem", "thought")
    with pytest.raises(ValueError, match=r"one thought only \(\[0\]\): none has one before it"):
        successive_cosine(states(n_thoughts=1))
    with pytest.raises(ValueError, match=r"confidence=95"):
        effective_rank(states(), confidence=95.0)
