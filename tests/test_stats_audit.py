"""What the audit must catch: each published mistake, made on purpose; and what it must let pass."""

import json
from inspect import unwrap  # users have no type checker that speaks first
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cot_attn.stats import Check, audit, audit_arrays, correlate
from cot_attn.stats._audit.tables import attention_is_not_one_over_length

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


def test_every_published_table_gets_what_is_known_of_it() -> None:
    file = Path(__file__).parent.parent / "examples" / "published_tables.json"
    tables = json.loads(file.read_text(encoding="utf-8"))["tables"]
    failed = {(check.name, check.message[:5]) for check in audit(tables) if check.status == "fail"}
    assert failed == {("Attention is not 1/length", "GPT-2"), ("Layers differ", "GPT-2")}


@pytest.mark.parametrize(("unit", "scale"), [(1, 0.01), (1, 1.0), (100, 0.01), (100, 1.0)])
def test_one_over_length_is_seen_whatever_unit_was_said(unit: float, scale: float) -> None:
    column = unit / np.arange(49, 55)
    assert audit({"attention": column}, scale=scale)[0].status == "fail"


@pytest.mark.parametrize("seed", range(20))
def test_attention_of_no_particular_kind_is_not_taken_for_a_mistake(seed: int) -> None:
    rng = np.random.default_rng(seed)
    thoughts = rng.dirichlet(np.full(6, 20.0), size=2) * 12
    tables = [
        {
            "model": "m",
            "layer": layer,
            "attention": np.round(row, 2),
            "share": np.round(100 * row / row.sum(), 1),
            "total_thought_attention": round(row.sum(), 1),
        }
        for layer, row in enumerate(thoughts)
    ]
    assert {check.status for check in audit(tables)} == {"pass"}


def test_shares_in_whole_percent_may_miss_the_whole_by_their_rounding_and_no_more() -> None:
    rounded = {"attention": [3.4, 2.2, 4.1, 5.2, 6.3, 1.9], "share": [15, 10, 18, 23, 27, 8]}
    assert by_name(audit(rounded))["Shares are shares"].status == "pass"
    wrong = {**rounded, "share": [15, 10, 18, 23, 27, 14]}
    assert by_name(audit(wrong))["Shares are shares"].status == "fail"


def test_a_total_that_is_not_the_columns_sum_is_caught() -> None:
    said = {**LLAMA, "total_thought_attention": 18.21}
    assert by_name(audit(said))["The total is the sum"].status == "pass"
    assert (
        by_name(audit({**said, "total_thought_attention": 18.4}))["The total is the sum"].status
        == "fail"
    )


def test_layers_that_agree_in_few_digits_are_a_warning() -> None:
    column = [17, 17, 17, 17, 16, 16]
    found = by_name(audit([{"layer": 1, "attention": column}, {"layer": 2, "attention": column}]))
    assert found["Layers differ"].status == "warn"


@pytest.mark.parametrize(
    ("table", "error", "told"),
    [
        ([1.0, 2.0], TypeError, "mapping"),
        ({"atention": [1.0, 2.0]}, ValueError, "atention"),
        ({"attention": "2.05"}, TypeError, "list of numbers"),
        ({"attention": ["2.05"]}, TypeError, "None where none is printed"),
        ({"attention": [2.0, 1.0], "share": [1.0]}, ValueError, "attention has 2, share has 1"),
        ({"attention": []}, ValueError, "no numbers"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(table: object, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        unwrap(audit)([table])


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


def row_means(n_layers: int = 1) -> xr.DataArray:
    """1/length of every row, in single precision, which differs from layer to layer by rounding."""
    a, _ = arrays()
    exact = (1 / (a["question_length"] + 2.0 + a["thought"])).transpose("problem", "thought")
    noise = 1 + 1e-7 * np.random.default_rng(0).normal(size=(*exact.shape, n_layers))
    layers = xr.DataArray([4, 8, 11][:n_layers], dims="layer", name="layer")
    return (xr.concat([exact] * n_layers, layers).transpose(..., "layer") * noise).astype("f4")


def test_layers_that_are_equal_but_for_rounding_are_equal() -> None:
    _, f = arrays()
    assert by_name(audit_arrays(row_means(3), f))["Layers differ"].status == "fail"


@pytest.mark.parametrize("as_share", [False, True])
def test_means_of_rows_and_their_shares_are_known_without_the_length(as_share: bool) -> None:
    _, f = arrays()
    means = row_means().drop_vars("question_length")
    given = means / means.sum("thought") if as_share else means
    found = by_name(audit_arrays(given, f.drop_vars("question_length")))
    assert found["Attention does not step evenly"].status == "fail"
    assert "Attention does not follow length" not in found


@pytest.mark.slow
def test_a_reference_of_some_of_the_problems_or_by_head_will_do() -> None:
    a, f = arrays()
    shifted = a.roll(thought=1).assign_coords(thought=a["thought"])
    by_head = xr.concat([a[:50], a[:50]], "head")
    assert by_name(audit_arrays(shifted, f, by_head))["Roles are not shifted"].status == "fail"
    assert by_name(audit_arrays(a, f, by_head))["Roles are not shifted"].status == "pass"
    others = a.assign_coords(problem=[f"q{i}" for i in range(100)])
    check = by_name(audit_arrays(a, f, others))["Roles are not shifted"]
    assert check.status == "warn"
    assert "no problem in common" in check.message


def test_arrays_without_labels_or_dimensions_are_told_what_is_needed() -> None:
    a, f = arrays()
    with pytest.raises(TypeError, match="attention must be an xarray DataArray"):
        unwrap(audit_arrays)(a.values, f)
    with pytest.raises(ValueError, match=r"audit of failure .*\('problem', 'token'\)"):
        audit_arrays(a, f.rename(thought="token"))


@pytest.mark.parametrize(("n_thoughts", "status"), [(3, "pass"), (4, "fail")])
def test_four_columns_are_the_fewest_that_can_be_known_for_one_over_length(
    n_thoughts: int, status: str
) -> None:
    """Three points lie near a line of slope 1 by chance too often."""
    check = attention_is_not_one_over_length([1 / (50 + t) for t in range(n_thoughts)])
    assert check.status == status
    assert ("too few" in check.message) == (status == "pass")


def test_a_column_with_a_zero_or_a_negative_number_has_no_reciprocals() -> None:
    for odd in (0.0, -0.1):
        check = attention_is_not_one_over_length([1 / 50, 1 / 51, odd, 1 / 53, 1 / 54])
        assert check.status == "pass"
        assert "too few positive" in check.message


@pytest.mark.parametrize(
    ("scale", "told"),
    [(1.0, "1.00 positions. "), (0.01, "(read as fractions). "), (100.0, "(read as percent). ")],
)
def test_the_message_says_which_unit_the_numbers_were_read_in(scale: float, told: str) -> None:
    fractions = [1 / n for n in range(49, 55)]
    check = audit({"attention": fractions}, scale=scale)[0]
    assert check.status == "fail"
    assert told in check.message
    assert "(49.0, 50.0, 51.0, 52.0, 53.0, 54.0)" in check.message


@pytest.mark.parametrize(
    ("step", "status"), [(0.9, "pass"), (0.96, "fail"), (1.45, "fail"), (1.55, "pass")]
)
def test_reciprocals_must_step_by_about_one_position(step: float, status: str) -> None:
    """By 1 + the squared coefficient of variation of the lengths, which is not above 1.5."""
    assert (
        attention_is_not_one_over_length([1 / (50 + step * t) for t in range(6)]).status == status
    )


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_shift_is_told_in_its_direction(shift: int) -> None:
    a, f = arrays()
    moved = a.roll(thought=-shift).assign_coords(thought=a["thought"])
    check = by_name(audit_arrays(moved, f, reference=a))["Roles are not shifted"]
    assert check.status == "fail"
    assert f"thought i{shift:+d} of the reference" in check.message
    assert f"{shift:+d}: 0" in check.message


@pytest.mark.parametrize(("n_thoughts", "status"), [(2, "warn"), (3, "fail")])
def test_three_thoughts_are_the_fewest_in_which_a_shift_can_be_seen(
    n_thoughts: int, status: str
) -> None:
    a, f = (array.isel(thought=slice(n_thoughts)) for array in arrays())
    shifted = a.roll(thought=1).assign_coords(thought=a["thought"])
    check = by_name(audit_arrays(shifted, f, reference=a))["Roles are not shifted"]
    assert check.status == status
    assert ("too few" in check.message) == (status == "warn")


def test_a_shift_is_looked_for_in_the_problems_that_both_have_in_full() -> None:
    a, f = arrays()
    shifted = a.roll(thought=1).assign_coords(thought=a["thought"])
    half_missing = a.where(a["problem"].isin(a["problem"][:50]))
    found = by_name(audit_arrays(shifted, f, reference=half_missing))
    assert found["Roles are not shifted"].status == "fail"
    check = by_name(audit_arrays(shifted, f, reference=a * np.nan))["Roles are not shifted"]
    assert check.status == "warn"
    assert "too few problems" in check.message


def test_what_is_about_as_near_unshifted_or_the_same_everywhere_is_not_called_shifted() -> None:
    a, f = arrays()
    even = a * 0 + 0.2
    found = by_name(audit_arrays(even, f, even))
    assert found["Roles are not shifted"].status == "pass"
    assert found["Attention does not follow length"].status == "pass"
    shifted = a.roll(thought=1).assign_coords(thought=a["thought"])
    noise = xr.DataArray(np.random.default_rng(1).random(a.shape), dims=a.dims)
    blurred = 0.3 * shifted + 0.7 * noise
    check = by_name(audit_arrays(blurred, f, a))["Roles are not shifted"]
    distances = [float(part.split(": ")[1].rstrip(".")) for part in check.message[23:].split(", ")]
    assert distances[2] < distances[0]  # nearest where shifted, but by far less than a half
    assert check.status == "pass"
