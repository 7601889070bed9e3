"""Laws that hold for every result: order and names change nothing, nor does a unit; joins are told.

Each is tried on shares and failures drawn anew by Hypothesis. (Correlations have theirs beside
SciPy's, in test_stats_correlate.)
"""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cot_attn.stats import (
    concentration,
    concentration_per_problem,
    contrasts,
    correlate,
    correlation_differences,
    evolution,
    fitted_line,
    flow,
    hub_scores,
    importance,
    importance_concentration,
    mean_over_problems,
    path_scores,
    sequence_attention,
    share,
    specialisation,
    trend,
    worst_thought,
)

N_PROBLEMS, N_THOUGHTS, N_LAYERS = 24, 4, 3
seeds = st.integers(0, 10_000)
lawful = settings(max_examples=8, deadline=None)


def world(seed: int) -> xr.Dataset:
    """Shares over layers, and failures of two kinds of corruption; one baseline was wrong."""
    rng = np.random.default_rng(seed)
    failed = (rng.random((N_PROBLEMS, N_THOUGHTS, 2)) < rng.random((N_THOUGHTS, 1))).astype(float)
    failed[0, 0] = 1.0  # some failure there is
    failed[3] = np.nan
    shares = rng.dirichlet(np.ones(N_THOUGHTS), size=(N_PROBLEMS, N_LAYERS))
    return xr.Dataset(
        {
            "failed": (("problem", "thought", "corruption"), failed),
            "share": (("problem", "layer", "thought"), shares),
        },
        coords={
            "problem": [f"p{i}" for i in range(N_PROBLEMS)],
            "thought": range(N_THOUGHTS),
            "layer": [0, 4, 11],
            "corruption": ["zero", "resample"],
            "difficulty": ("problem", 1.0 + rng.integers(0, 2, N_PROBLEMS)),
        },
    )


OF_FAILURE: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "importance": importance,
    "importance by difficulty": lambda data: importance(data, by="difficulty"),
    "importance by corruption": lambda data: importance(data, by="corruption"),
    "worst_thought": lambda data: worst_thought(data, n_resamples=99),
    "importance_concentration": lambda data: importance_concentration(data.failed),
}
OF_SHARES: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "mean_over_problems": lambda data: mean_over_problems(data.share),
    "concentration": lambda data: concentration(data.share),
    "evolution": lambda data: evolution(data.share, n_resamples=99),
    "trend": lambda data: trend(concentration_per_problem(data.share), n_resamples=99),
    "specialisation": lambda data: specialisation(data.share, n_resamples=99),
    "fitted_line": lambda data: fitted_line(
        data.share, data.failed.mean("corruption"), n_resamples=99
    ),
}


def assert_same_but_for_labels(found: xr.Dataset, expected: xr.Dataset) -> None:
    for name, there in expected.data_vars.items():
        here = found[name].transpose(*there.dims)
        if here.dtype.kind in "UTO":
            np.testing.assert_array_equal(here, there, err_msg=name)
        else:
            np.testing.assert_allclose(here, there, atol=1e-9, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [*OF_FAILURE, *OF_SHARES])
@lawful
@given(seed=seeds)
def test_neither_the_order_nor_the_names_of_problems_matter(statistic: str, seed: int) -> None:
    compute, data = {**OF_FAILURE, **OF_SHARES}[statistic], world(seed)
    order = np.random.default_rng(seed).permutation(N_PROBLEMS)
    renamed = data.isel(problem=order).assign_coords(problem=np.arange(N_PROBLEMS))
    assert_same_but_for_labels(compute(renamed), compute(data))


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [*OF_FAILURE, *OF_SHARES])
@lawful
@given(seed=seeds)
def test_thoughts_and_layers_in_another_order_are_the_same_thoughts_and_layers(
    statistic: str, seed: int
) -> None:
    compute, data = {**OF_FAILURE, **OF_SHARES}[statistic], world(seed)
    expected = compute(data)
    rates = data.failed.mean(["problem", "corruption"]).values
    assume(len(set(rates)) == N_THOUGHTS)  # of equally bad thoughts any may be called the worst
    rng = np.random.default_rng(seed)
    orders = {"thought": rng.permutation(N_THOUGHTS), "layer": rng.permutation(N_LAYERS)}
    found = compute(data.isel(orders))
    for dim in ("thought", "layer"):
        if dim in expected.dims:
            found = found.sel({dim: expected[dim].values})
    assert_same_but_for_labels(found, expected)


@pytest.mark.parametrize("outcome", ["yes or no", "graded"])
@lawful
@given(seed=seeds)
def test_a_contrast_turned_round_has_the_other_sign_and_the_same_p(outcome: str, seed: int) -> None:
    failed = world(seed).failed
    values = failed.isel(corruption=0) if outcome == "yes or no" else failed.mean("corruption")
    one = contrasts(values, n_resamples=99).set_index(pair=["first", "second"])
    other = contrasts(values[:, ::-1], n_resamples=99).set_index(pair=["second", "first"])
    other = other.sel(pair=one["pair"].values.tolist())
    np.testing.assert_allclose(other.estimate, -one.estimate, atol=1e-12)
    np.testing.assert_allclose(other.low, -one.high, atol=1e-6)  # skewness 0 is taken as 1e-6
    np.testing.assert_allclose(other.p, one.p)
    np.testing.assert_allclose(other.p_holm, one.p_holm)


@lawful
@given(seed=seeds)
def test_models_turned_round_differ_by_the_other_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dims, labels = ("model", "problem", "thought"), {"model": ["a", "b"], "problem": range(12)}
    a, f = (
        xr.DataArray(rng.random((2, 12, 5)), labels | {"thought": range(5)}, dims) for _ in "af"
    )
    one = correlation_differences(a, f)
    other = correlation_differences(a[::-1], f[::-1, rng.permutation(12)])
    np.testing.assert_allclose(other.estimate, -one.estimate, atol=1e-12)
    np.testing.assert_allclose(other.low, -one.high, atol=1e-9)


def rows(seed: int) -> xr.DataArray:
    """What a recorder gives: rows that sum to 1 and see nothing ahead."""
    rng = np.random.default_rng(seed)
    thoughts = [f"thought {i}" for i in range(N_THOUGHTS)]
    weights = rng.gamma(0.3, size=(6, 2, N_THOUGHTS + 1, N_THOUGHTS + 2)) + 1e-9
    for query in range(N_THOUGHTS):
        weights[:, :, query, query + 2 :] = 0
    return xr.DataArray(
        weights / weights.sum(axis=-1, keepdims=True),
        {"layer": [0, 1], "query": [*thoughts, "eot"], "key": ["question", *thoughts, "eot"]},
        ("problem", "layer", "query", "key"),
    )


@pytest.mark.slow
@lawful
@given(seed=seeds)
def test_shares_sum_to_one_and_sequence_attention_to_no_more(seed: int) -> None:
    recorded = rows(seed)
    for query in recorded["query"].values:
        np.testing.assert_allclose(share(recorded, query).sum("thought"), 1)
        assert (sequence_attention(recorded, query).sum("thought") <= 1 + 1e-12).all()
    np.testing.assert_allclose(flow(recorded).sum("thought"), 1)


@lawful
@given(seed=seeds)
def test_concentration_lies_between_one_thought_and_all(seed: int) -> None:
    found = concentration_per_problem(share(rows(seed)))
    number, largest = (found.sel(measure=name) for name in ("effective_number", "largest_share"))
    assert ((number >= 1) & (number <= N_THOUGHTS + 1e-9)).all()
    assert ((largest >= 1 / N_THOUGHTS) & (largest <= 1)).all()
    assert (number >= 1 / largest - 1e-9).all()  # the min-entropy is the smallest of entropies


@pytest.mark.slow
@lawful
@given(seed=seeds)
def test_gains_and_losses_of_attention_to_a_thought_cancel(seed: int) -> None:
    """A row that looks at one thought more than the mask explains looks at others less."""
    found = path_scores(flow(rows(seed)))
    rows_that_can = xr.DataArray(
        [N_THOUGHTS, N_THOUGHTS - 1, N_THOUGHTS - 2], {"path": ["self", "forward", "skip"]}
    )
    np.testing.assert_allclose((found.estimate * rows_that_can).sum("path"), 0, atol=1e-9)
    shuffled = flow(rows(seed)[np.random.default_rng(seed).permutation(6)])
    for scores in (path_scores, hub_scores):
        assert_same_but_for_labels(scores(shuffled), scores(flow(rows(seed))))


@pytest.mark.slow
@lawful
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_a_unit_changes_no_share_no_concentration_and_no_preference(
    seed: int, factor: float
) -> None:
    recorded = rows(seed)
    xr.testing.assert_allclose(share(factor * recorded), share(recorded))
    data = world(seed)
    scaled = data.assign(share=factor * data.share)
    xr.testing.assert_allclose(concentration(scaled.share), concentration(data.share))
    for name in ("thought", "certainty"):
        before, after = (specialisation(each.share, n_resamples=99) for each in (data, scaled))
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.slow
@lawful
@given(seed=seeds, kept=st.sets(st.integers(0, N_PROBLEMS - 1), min_size=5))
def test_other_problems_raise_and_inner_keeps_what_both_have_and_says_so(
    seed: int, kept: set[int]
) -> None:
    data = world(seed)
    attention, failure = data.share, data.failed.mean("corruption")
    index = np.random.default_rng(seed).permutation(sorted(kept))
    some = failure.isel(problem=index)
    n_missing = N_PROBLEMS - len(index)
    found = correlate(attention, some, join="inner", n_resamples=99)
    assert found.attrs["join"] == "inner"
    assert found.attrs["n_left_out_by_join"] == n_missing
    alone = correlate(attention.isel(problem=sorted(kept)), some, n_resamples=99)
    np.testing.assert_array_equal(found.p, alone.p)
    if n_missing:
        with pytest.raises(ValueError, match=f"{n_missing} only in attention"):
            correlate(attention, some)
