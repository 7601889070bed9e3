"""Shares, concentration, evolution, specialisation and flow."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cot_attn.stats import (
    concentration,
    concentration_per_problem,
    evolution,
    flow,
    hub_scores,
    importance_concentration,
    path_scores,
    sequence_attention,
    share,
    specialisation,
    trend,
)

N = 4
KEYS = ["question", "bot", *(f"thought {i}" for i in range(N)), "eot", "answer"]
QUERIES = ["bot", *(f"thought {i}" for i in range(N)), "eot", "answer_value"]


def recording(n_problems: int = 30, seed: int = 0, even: bool = False) -> xr.DataArray:
    """Rows as the recorder gives them; even rows spread over all that the mask lets them see."""
    rng = np.random.default_rng(seed)
    shape = (n_problems, 3, 2, len(QUERIES), len(KEYS))
    weights = np.ones(shape) if even else rng.gamma(1.0, size=shape)
    last_seen = [*range(1, N + 3), N + 3]
    for row, last in enumerate(last_seen):
        weights[..., row, last + 1 :] = 0
    return xr.DataArray(
        (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32),
        dims=("problem", "layer", "head", "query", "key"),
        coords={
            "problem": [f"p{i}" for i in range(n_problems)],
            "layer": [0, 1, 2],
            "head": [0, 1],
            "query": QUERIES,
            "key": KEYS,
        },
        name="attention",
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), query=st.sampled_from(QUERIES[1:]))
def test_shares_sum_to_one_for_every_problem(seed: int, query: str) -> None:
    shares = share(recording(5, seed), query)
    assert shares.dims == ("problem", "layer", "head", "thought")
    np.testing.assert_allclose(shares.sum("thought"), 1, atol=1e-5)


def test_the_share_is_the_sequence_attention_over_its_total() -> None:
    rows = recording()
    on_thoughts = sequence_attention(rows.to_dataset())
    by_hand = rows.sel(query="eot", key="thought 2")
    np.testing.assert_array_equal(on_thoughts.sel(thought=2), by_hand)
    np.testing.assert_allclose(share(rows), on_thoughts / on_thoughts.sum("thought"), rtol=1e-6)


def test_ten_thoughts_are_ordered_by_number_and_not_by_name() -> None:
    keys = [f"thought {i}" for i in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)]
    row = xr.DataArray(np.arange(11.0) + 1, dims="key", coords={"key": keys})
    found = sequence_attention(row.expand_dims(query=["eot"]))
    assert found["thought"].values.tolist() == list(range(11))
    assert float(found.sel(thought=10)) == 1.0


def test_a_row_without_a_value_or_without_thoughts_has_no_shares() -> None:
    rows = recording(3)
    rows.loc[{"problem": "p1", "query": "answer_value"}] = np.nan
    assert share(rows, "answer_value").sel(problem="p1").isnull().all()
    assert share(rows, "bot").isnull().all()  # the thoughts lie ahead of it
    with pytest.raises(ValueError, match="without thoughts"):
        share(rows.sel(key=["question", "bot", "eot"]))
    with pytest.raises(KeyError, match="answer_value"):
        share(rows, "answer")


def test_concentration_is_scipys_entropy() -> None:
    shares = share(recording())
    found = concentration_per_problem(shares)
    expected = scipy_stats.entropy(shares.transpose("problem", "layer", "head", "thought"), axis=-1)
    np.testing.assert_allclose(found.sel(measure="entropy"), expected, rtol=1e-5)
    np.testing.assert_allclose(found.sel(measure="effective_number"), np.exp(expected), rtol=1e-5)
    np.testing.assert_allclose(found.sel(measure="largest_share"), shares.max("thought"), rtol=1e-5)


def test_one_thought_with_everything_is_an_effective_number_of_one() -> None:
    alone = xr.DataArray([[0.0, 1.0, 0.0]] * 5, dims=("problem", "thought"))
    found = concentration(alone)
    np.testing.assert_allclose(found.estimate.sel(measure="effective_number"), 1)
    np.testing.assert_allclose(found.estimate.sel(measure="entropy"), 0, atol=1e-12)


def test_negative_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        concentration_per_problem(xr.DataArray([0.5, -0.5, 1.0], dims="thought"))


def test_a_layer_that_gathers_attention_shows_in_its_step_and_in_the_trend() -> None:
    rng = np.random.default_rng(0)
    sharpness = np.array([0.2, 0.2, 3.0])[None, :, None]
    weights = np.exp(sharpness * rng.normal(size=(60, 3, 6)))
    shares = xr.DataArray(
        weights / weights.sum(axis=2, keepdims=True),
        dims=("problem", "layer", "thought"),
        coords={"layer": [0, 6, 11]},
    )
    steps = evolution(shares).sel(measure="effective_number")
    assert list(zip(steps.first.values, steps.second.values, strict=True)) == [(0, 6), (6, 11)]
    assert float(steps.low[0]) < 0 < float(steps.high[0])
    assert float(steps.high[1]) < -1
    assert float(steps.q[1]) < 0.01
    falling = trend(concentration_per_problem(shares)).sel(measure="effective_number")
    assert float(falling.high) < -1
    assert float(falling.p) < 0.01


def test_the_trend_of_a_straight_line_is_its_rise() -> None:
    rise = np.array([1.0, 2.0, 3.0, 2.5, 1.5, 2.0, 2.0])
    line = xr.DataArray(
        5 + rise[:, None] * np.array([0, 0.5, 1]),
        dims=("problem", "layer"),
        coords={"layer": [0, 4, 8]},
    )
    np.testing.assert_allclose(trend(line).estimate, 2.0)


def test_a_head_that_prefers_a_thought_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    raw = rng.dirichlet(np.ones(4), size=(80, 2))
    raw[:, 0] = rng.dirichlet([1, 1, 4, 1], size=80)
    shares = xr.DataArray(raw, dims=("problem", "head", "thought"), coords={"thought": range(4)})
    found = specialisation(shares)
    assert int(found.thought[0]) == 2
    assert float(found.certainty[0]) > 0.99
    assert float(found.margin_low[0]) > 0.1
    assert float(found.certainty[1]) < 0.95
    assert float(found.margin_low[1]) < 0


def test_attention_spread_evenly_under_the_mask_has_no_hubs_and_no_paths() -> None:
    """Early thoughts get more of it, which against 1/n would make them hubs."""
    matrices = flow(recording(even=True))
    received = matrices.mean(["problem", "layer", "head", "from_thought"])
    assert float(received.sel(thought=0)) > 2 * float(received.sel(thought=3))
    hubs = hub_scores(matrices)
    np.testing.assert_allclose(hubs.estimate.sel(thought=[0, 1, 2]), 0, atol=1e-6)
    assert hubs.estimate.sel(thought=3).isnull().all()
    np.testing.assert_allclose(path_scores(matrices).estimate, 0, atol=1e-6)


def test_flow_rows_sum_to_one_and_see_nothing_ahead() -> None:
    matrices = flow(recording())
    np.testing.assert_allclose(matrices.sum("thought"), 1, atol=1e-5)
    ahead = matrices["thought"] > matrices["from_thought"]
    assert float(matrices.where(ahead, 0.0).max()) == 0


def test_a_planted_hub_and_a_planted_path_are_found_with_their_size() -> None:
    labels = {"from_thought": range(4), "thought": range(4)}
    to_first = np.zeros((5, 4, 4))
    to_first[:, :, 0] = 1.0  # everybody looks at thought 0
    hub = hub_scores(xr.DataArray(to_first, dims=("problem", *labels), coords=labels))
    assert float(hub.estimate[0]) == pytest.approx(1 - np.mean([1 / 2, 1 / 3, 1 / 4]))
    chain = np.zeros((5, 4, 4))
    chain[:, 0, 0] = 1.0
    chain[:, [1, 2, 3], [0, 1, 2]] = 1.0  # everybody looks one back
    paths = path_scores(xr.DataArray(chain, dims=("problem", *labels), coords=labels))
    forward, skip = paths.estimate.sel(path="forward"), paths.estimate.sel(path="skip")
    assert float(forward) == pytest.approx(1 - np.mean([1 / 2, 1 / 3, 1 / 4]))
    assert float(skip) == pytest.approx(-np.mean([1 / 3, 2 / 4]))


def test_flow_without_the_thoughts_rows_says_what_was_recorded() -> None:
    with pytest.raises(ValueError, match="eot"):
        flow(recording().sel(query=["eot"]))


def test_importance_on_one_thought_is_concentrated_and_even_importance_is_not() -> None:
    rng = np.random.default_rng(0)
    failed = (rng.random((200, 6, 2)) < np.array([[0.2] * 6, [0, 0, 0.6, 0, 0, 0]]).T).astype(float)
    values = xr.DataArray(failed, dims=("problem", "thought", "world"))
    found = importance_concentration(values).sel(measure="effective_number")
    assert float(found.low[0]) > 4.5
    assert float(found.high[0]) == 6  # the truth is the largest number there is
    assert float(found.estimate[1]) == pytest.approx(1)


def test_a_thought_that_never_fails_anywhere_leaves_no_profile() -> None:
    found = importance_concentration(xr.DataArray(np.zeros((20, 6)), dims=("problem", "thought")))
    assert found.estimate.isnull().all()
    assert set(found.reason.values) == {"all values are 0"}
