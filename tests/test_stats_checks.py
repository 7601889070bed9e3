"""What the checks and the audit must catch: each published mistake, made on purpose."""

import numpy as np
import pytest
import xarray as xr

from cot_attn.stats import Check, audit, audit_arrays, correlate, run_checks
from cot_attn.stats.audit import attention_is_not_one_over_length
from cot_attn.stats.checks import (
    attention_varies,
    effects_exceed_noise,
    failure_is_not_question_length,
    failure_varies,
    kl_is_not_all_zero,
    nothing_moves_unprovoked,
    provenance_is_complete,
    rows_sum_to_one,
    same_problems,
)

# "GPT-2 Attention Analysis Visualizations & Cross-Layer Comparison", 2025-10-25, in percent.
GPT2 = {
    "model": "GPT-2",
    "importance": [21.4, 21.4, 50.0, 50.0, 19.0, 23.8],
    "attention": [2.050, 2.005, 1.961, 1.919, 1.880, 1.842],
    "share": [17.6, 17.2, 16.8, 16.5, 16.1, 15.8],
}
LLAMA = {
    "model": "LLaMA",
    "layer": 8,
    "importance": [5.9, 7.7, 7.6, 7.7, 5.1, 20.3],
    "attention": [2.55, 1.11, 1.06, 1.55, 3.79, 8.15],
    "share": [14.0, 6.1, 5.8, 8.5, 20.8, 44.8],
    "pooled_r": 0.218,
    "n_problems": 100,
}


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
    assert len(found) == 12
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
        (failure_varies(effects() * 0), "fail", "None fails"),
        (failure_varies(effects() * np.nan), "fail", "No problem"),
        (kl_is_not_all_zero(effects() * 0), "fail", "does not reach"),
        (provenance_is_complete(effects().drop_attrs()), "warn", "noise_floor"),
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


def by_name(found: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in found}


def test_the_published_gpt2_columns_are_one_over_length() -> None:
    found = audit([{**GPT2, "layer": 8}, {**GPT2, "layer": 11}])
    failed = [check for check in found if check.status == "fail"]
    assert [check.name for check in failed] == ["Attention is not 1/length", "Layers differ"] * 2
    assert "step evenly, by 1.10 positions" in failed[0].message
    assert failed[0].message.startswith("GPT-2, layer 8: ")
    assert "8 and 11" in failed[1].message


def test_the_published_llama_column_is_not_but_may_be_the_query_itself() -> None:
    found = by_name(audit(LLAMA))
    assert found["Attention is not 1/length"].status == "pass"
    assert found["Shares are shares"].status == "pass"
    assert found["The last column is a thought"].status == "warn"
    assert "p = 0.029" in found["A pooled p counts problems, not points"].message
    assert found["What the profiles can show"].status == "warn"  # r = 0.83, but of six thoughts


def test_means_over_problems_of_different_length_are_still_one_over_length() -> None:
    lengths = np.random.default_rng(0).integers(30, 90, 100)[:, None] + np.arange(6)
    assert attention_is_not_one_over_length((1 / lengths).mean(axis=0).tolist()).status == "fail"
    assert attention_is_not_one_over_length([0.02, 0.05, 0.03, 0.04, 0.01, 0.02]).status == "pass"


def test_shares_that_do_not_sum_are_caught() -> None:
    wrong = {**LLAMA, "share": [14.0, 6.1, 5.8, 8.5, 20.8, 54.8]}
    assert by_name(audit(wrong))["Shares are shares"].status == "fail"
    shuffled = {**LLAMA, "share": LLAMA["share"][::-1]}
    assert "proportions" in by_name(audit(shuffled))["Shares are shares"].message


def arrays(n_problems: int = 100) -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(0)
    coords = {
        "problem": [f"p{i}" for i in range(n_problems)],
        "thought": range(6),
        "question_length": ("problem", rng.integers(20, 90, n_problems)),
    }
    dims = ("problem", "thought")
    made = (rng.random((n_problems, 6)), (rng.random((n_problems, 6)) < 0.3).astype(float))
    return tuple(xr.DataArray(values, dims=dims, coords=coords) for values in made)


def test_sound_arrays_pass_the_audit() -> None:
    a, f = arrays()
    assert {check.status for check in audit_arrays(a, f, reference=a)} == {"pass"}


def test_the_mean_of_a_softmax_row_is_known_by_the_question_length() -> None:
    a, f = arrays()
    row_means = 1 / (a["question_length"] + 2.0 + a["thought"])
    found = by_name(audit_arrays(row_means.transpose("problem", "thought"), f))
    assert found["Attention does not follow length"].status == "fail"


def test_columns_shifted_by_one_against_a_reference_are_caught() -> None:
    a, f = arrays()
    shifted = a.roll(thought=1).assign_coords(thought=a["thought"])
    found = by_name(audit_arrays(shifted, f, reference=a))
    assert found["Roles are not shifted"].status == "fail"
    assert "thought i-1 of the reference" in found["Roles are not shifted"].message


def test_lists_of_the_same_length_but_of_other_problems_are_caught() -> None:
    a, f = arrays()
    other = f.assign_coords(problem=[f"p{i + 10}" for i in range(100)])
    assert by_name(audit_arrays(a, other))["The samples match"].status == "fail"
    assert by_name(audit_arrays(a, f[::-1]))["The samples match"].status == "warn"


def test_a_pooled_p_that_rests_on_thoughts_alone_is_recomputed() -> None:
    a, f = arrays()
    profile = xr.DataArray([0.0, 0.1, 0.2, 0.0, 0.1, 0.5], dims="thought")
    a, f = a + profile, f + 2 * profile
    check = by_name(audit_arrays(a, f))["The pooled p, recomputed"]
    assert f"{float(correlate(a, f, 'pooled').p):.2g}" in check.message
    assert "Within problems" in check.message


def test_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        audit([])
