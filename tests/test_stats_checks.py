"""What the checks must catch, made on purpose, and what they must let pass."""

import numpy as np
import pytest
import torch
import xarray as xr

from cot_attn.stats import Check, run_checks
from cot_attn.stats._checks.attention import attention_varies, rows_sum_to_one, same_problems
from cot_attn.stats._checks.effects import (
    effects_exceed_noise,
    every_corruption_changes_something,
    failure_is_not_question_length,
    failure_varies,
    kl_is_not_all_zero,
    nothing_moves_unprovoked,
    provenance_is_complete,
)


def attention(n_problems: int = 120) -> xr.DataArray:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(4), size=(n_problems, 2, 2, 1))
    return xr.DataArray(
        rows,
        dims=("problem", "layer", "head", "query", "key"),
        coords={
            "problem": [f"p{i}" for i in range(n_problems)],
            "key": ["question", "thought 0", "thought 1", "eot"],
            "query": ["eot"],
        },
        name="attention",
    )


def effects(n_problems: int = 120) -> xr.Dataset:
    rng = np.random.default_rng(1)
    shape = (n_problems, 2, 2)
    dims = ("problem", "thought", "corruption")
    return xr.Dataset(
        {
            "failed": (dims, (rng.random(shape) < 0.4).astype(float)),
            "kl_first": (dims, rng.random(shape)),
            "kl_value": (dims, rng.random(shape)),
        },
        coords={
            "problem": [f"p{i}" for i in range(n_problems)],
            "thought": [0, 1],
            "corruption": ["zero", "resample"],
            "question_length": ("problem", rng.integers(10, 90, n_problems)),
        },
        attrs={
            "model": "m",
            "checkpoint": "c",
            "site": "input",
            "downstream": "recompute",
            "seed": 0,
            "noise_floor": {"failed": 0.0, "kl_first": 1e-6, "kl_value": 1e-6},
        },
    )


def test_sound_results_pass_every_check() -> None:
    found = run_checks(attention(), effects())
    assert len(found) == 13
    assert {check.status for check in found} == {"pass"}, found


def test_the_gravest_findings_come_first() -> None:
    broken = effects(30).assign(kl_first=lambda data: data.kl_first * 0)
    statuses = [check.status for check in run_checks(attention(30) / 2, broken)]
    assert statuses == sorted(statuses, key=["fail", "warn", "pass"].index)
    assert {"fail", "warn", "pass"} == set(statuses)


@pytest.mark.parametrize(
    ("check", "status", "told"),
    [
        (rows_sum_to_one(attention() / 4), "fail", "100.0% of the rows do not"),
        (rows_sum_to_one(attention() * np.nan), "fail", "No row"),
        (attention_varies(attention() * 0 + 0.25), "fail", "same attention"),
        (attention_varies(attention()[:1]), "warn", "one problem"),
        (failure_varies(effects() * 0), "fail", "None fails"),
        (failure_varies(effects() * 0 + 1), "fail", "All fail"),
        (failure_varies(effects() * np.nan), "fail", "No problem"),
        (kl_is_not_all_zero(effects() * 0), "fail", "does not reach"),
        (kl_is_not_all_zero(effects() * np.nan), "warn", "could not be measured"),
        (
            every_corruption_changes_something(effects() * xr.DataArray([1, 0], dims="corruption")),
            "warn",
            "resample never moves the answer",
        ),
        (
            failure_is_not_question_length(effects().drop_vars("question_length")),
            "warn",
            "no coord",
        ),
        (provenance_is_complete(effects().drop_attrs()), "warn", "noise_floor"),
        (
            nothing_moves_unprovoked(effects().assign_attrs(noise_floor={"kl_value": 0.3})),
            "warn",
            "Is dropout on?",
        ),
        (
            nothing_moves_unprovoked(effects().assign_attrs(noise_floor={"failed": 0.15})),
            "fail",
            "15.0% of the answers change",
        ),
        (
            effects_exceed_noise(effects().assign_attrs(noise_floor={"kl_value": 2.0})),
            "warn",
            "rounding",
        ),
        (same_problems(attention(), effects(50)), "fail", "70 only in attention"),
    ],
)
def test_each_mistake_is_caught(check: Check, status: str, told: str) -> None:
    assert check.status == status
    assert told in check.message


def in_type(dtype: torch.dtype) -> xr.DataArray:
    """Rows of a model that attends to its first position above all, rounded and then summed."""
    rng = np.random.default_rng(0)
    by_position = rng.dirichlet([40, *[0.1] * 59], size=(200, 2, 2, 1))
    rounded = torch.from_numpy(by_position).to(dtype).float().numpy()
    parts = [rounded[..., :50].sum(-1), rounded[..., 50:56].sum(-1), rounded[..., 56:].sum(-1)]
    rows = xr.DataArray(np.stack(parts, -1), dims=("problem", "layer", "head", "query", "key"))
    return rows.assign_attrs(dtype=str(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_are_not_blamed_for_the_rounding_of_the_models_own_type(dtype: torch.dtype) -> None:
    assert rows_sum_to_one(in_type(dtype)).status == "pass"


def test_a_missing_key_is_no_rounding_in_any_type_and_rounding_is_named_where_none_is_known() -> (
    None
):
    rows = in_type(torch.bfloat16)
    assert rows_sum_to_one(rows.isel(key=[0, 1])).status == "fail"
    unknown = rows_sum_to_one(rows.drop_attrs())
    assert unknown.status == "fail"
    assert "bfloat16 rounds as much" in unknown.message


def test_even_attention_differs_by_length_and_yet_spreads_alike_over_thoughts() -> None:
    recorded = attention()
    length = np.random.default_rng(0).integers(20, 90, recorded.sizes["problem"])
    row = np.stack([length, np.ones_like(length), np.ones_like(length), np.ones_like(length)], -1)
    even = (row / row.sum(axis=1, keepdims=True))[:, None, None, None].astype(np.float32)
    found = attention_varies(recorded.copy(data=np.broadcast_to(even, recorded.shape)))
    assert found.status == "warn"
    assert "In 4 of 4 layers and heads" in found.message
    assert "over the thoughts alike" in found.message


def test_one_head_that_never_changes_is_counted_among_those_that_do() -> None:
    """Single precision must not hide it: a mean of a thousand equal numbers is not that number."""
    recorded = attention(1000).astype(np.float32)
    recorded[:, 1, 0] = np.array([0.9, 0.05, 0.03, 0.02], dtype=np.float32)
    found = attention_varies(recorded)
    assert found.status == "warn"
    assert "In 1 of 4 layers and heads" in found.message


def test_a_divergence_at_the_value_alone_that_is_zero_does_not_mean_that_nothing_arrives() -> None:
    check = kl_is_not_all_zero(effects().assign(kl_value=lambda data: data.kl_value * 0))
    assert check.status == "warn"
    assert "does not reach" not in check.message


def test_what_part_of_the_effects_is_no_more_than_noise_is_told() -> None:
    noisy = effects().assign_attrs(noise_floor={"kl_value": 0.25})
    part = float((noisy.kl_value > 0.25).mean())
    assert f"{part:.0%} of kl_value" in effects_exceed_noise(noisy).message


def test_nothing_to_check_and_a_floor_that_is_no_table_are_refused() -> None:
    with pytest.raises(ValueError, match="attention, effects, or both"):
        run_checks()
    with pytest.raises(TypeError, match=r"dict .* got float"):
        run_checks(effects=effects().assign_attrs(noise_floor=1e-6))


def test_a_divergence_at_the_templates_first_token_is_told_from_one_that_is_zero() -> None:
    data = effects()
    data["kl_first"] = data["kl_first"] * 0
    check = kl_is_not_all_zero(data)
    assert check.status == "warn"
    assert "kl_value" in check.message


def test_failure_that_grows_with_question_length_is_seen() -> None:
    data = effects()
    data["failed"] = (data["question_length"] > 50).astype(float) * xr.ones_like(data["failed"])
    check = failure_is_not_question_length(data)
    assert check.status == "warn"
    assert "partial='question_length'" in check.message


def test_few_problems_and_few_failures_are_warned_of() -> None:
    few = effects(30)
    few["failed"][2:] = 0
    warned = {check.name for check in run_checks(effects=few) if check.status == "warn"}
    assert {"Enough problems", "Enough failures"} <= warned
