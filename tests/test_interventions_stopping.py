"""Variants of problems that stop at different thoughts: against a plain loop, one at a time."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import noise_floor_left_out
from cot_attn import Intervention, TokenAblator, run_variants
from cot_attn.interventions import (
    Attention,
    KnockOut,
    Mean,
    Resample,
    Shuffle,
    Zero,
    collect,
)
from plain_loop import divergence
from stopping import N_MOST, N_NEW, After, Stopping

OUTCOMES = ["failed", "answer", "kl_first", "thought_change"]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def stopping(request, questions) -> Stopping:
    made = Stopping(request.param, questions[:5])
    assert len(set(made.n_thoughts)) > 2
    return made


def variants(stopping: Stopping, changes: list[Intervention], **options):
    with noise_floor_left_out():
        return run_variants(
            stopping.model, stopping.problems, changes, OUTCOMES, max_new_tokens=N_NEW, **options
        )


def plain_divergences(
    stopping: Stopping, thought: int, edit: Mapping[int, Tensor], downstream: str = "recompute"
) -> list[float]:
    """Return KL(baseline || changed) of each problem; NaN where it has not the thought."""
    found = []
    for row, (clean, n) in enumerate(zip(stopping.plain, stopping.n_thoughts, strict=True)):
        if row not in edit or thought >= n:
            found.append(np.nan)
            continue
        later = range(thought + 1, n) if downstream == "frozen" else ()
        kept = (*range(thought + 1), *later)
        changed = stopping.run(
            stopping.tokens[row],
            n,
            {("input", thought): lambda old, row=row: edit[row]},
            inputs={index: clean.thoughts[index] for index in kept},
            words=[0],  # the first token's logits do not depend on it
        )
        found.append(divergence(clean.logits[0], changed.logits[0]))
    return found


def zeroed(downstream: str) -> list[Intervention]:
    return [Intervention(i, Zero(), downstream=downstream) for i in range(N_MOST)]


@pytest.fixture(scope="module")
def without_a_thought(stopping):
    changes = [*zeroed("recompute"), *zeroed("frozen")]
    return variants(stopping, changes, batch_size=10)


@pytest.mark.slow
@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_variants_are_those_of_the_plain_loop_and_others_are_not_there(
    stopping, without_a_thought, downstream
):
    changes, result = zeroed(downstream), without_a_thought
    assert result["n_thoughts"].values.tolist() == stopping.n_thoughts
    right = result["baseline_correct"].values
    for thought, change in enumerate(changes):
        zeros = {row: torch.zeros(32) for row in range(len(stopping.problems))}
        expected = np.array(plain_divergences(stopping, thought, zeros, downstream))
        found = result["kl_first"].sel(variant=change.label).values
        np.testing.assert_allclose(found[right], expected[right], rtol=0.02, atol=5e-6)
        assert np.nanmax(expected[right]) > 1e-4
        failed = result["failed"].sel(variant=change.label)
        there = right & (np.array(stopping.n_thoughts) > thought)
        assert failed.notnull().values.tolist() == there.tolist()
    later = result["thought_change"]
    for row, n in enumerate(stopping.n_thoughts):
        assert later.isel(problem=row).sel(later_thought=slice(n, None)).isnull().all()


@pytest.mark.slow
def test_donors_are_problems_that_have_the_thought(stopping):
    clean = {row: plain.thoughts for row, plain in enumerate(stopping.plain)}
    changes = [Intervention(i, kind()) for i in range(N_MOST) for kind in (Mean, Resample)]
    result = variants(stopping, changes)
    right = result["baseline_correct"].values
    for thought in range(N_MOST):
        having = [row for row, n in enumerate(stopping.n_thoughts) if n > thought]
        means = {
            row: torch.stack([clean[other][thought] for other in having if other != row]).mean(0)
            for row in having
            if len(having) > 1
        }
        expected = np.array(plain_divergences(stopping, thought, means))
        found = result["kl_first"].sel(variant=changes[2 * thought].label).values
        np.testing.assert_allclose(found[right], expected[right], rtol=0.02, atol=5e-6)
        resampled = result["kl_first"].sel(variant=changes[2 * thought + 1].label).values
        assert np.isfinite(resampled[right]).tolist() == np.isfinite(expected[right]).tolist()


@pytest.mark.slow
def test_a_thought_that_no_other_problem_has_cannot_be_resampled(stopping):
    model, rule = stopping.model, stopping.model.stop
    counts = tuple((problem.id, 2) for problem in stopping.problems[1:])
    model.stop = After(counts, otherwise=3)
    result = run_variants(
        model,
        stopping.problems,
        [Intervention(2, Resample()), Intervention(1, Shuffle()), Intervention(2, Zero())],
        ["kl_first"],
        max_new_tokens=N_NEW,
        only_correct=False,
    )["kl_first"]
    model.stop = rule
    first = result.sel(problem="p0").notnull().values.tolist()
    assert first == [False, True, True]
    assert result.isel(problem=slice(1, None)).notnull().any("problem").values.tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.slow
def test_attention_is_taken_away_from_the_thought_alone(stopping):
    change = Intervention(1, KnockOut(), Attention())
    result = variants(stopping, [change])["kl_first"].sel(variant=change.label)
    n_heads, n_layers = stopping.model.n_heads, stopping.model.n_layers
    for row, n in enumerate(stopping.n_thoughts):
        found = float(result.sel(problem=f"p{row}"))
        if n < 2:
            assert np.isnan(found)
        elif np.isfinite(found):
            first = len(stopping.tokens[row]) + 1
            blocked = [
                (layer, head, query, first + 1)
                for layer in range(n_layers)
                for head in range(n_heads)
                for query in range(first + 2, first + n + 1 + N_NEW)
            ]
            changed = stopping.run(stopping.tokens[row], n, words=[0], blocked=blocked)
            expected = divergence(stopping.plain[row].logits[0], changed.logits[0])
            assert found == pytest.approx(expected, rel=0.02, abs=5e-6)


@pytest.mark.slow
def test_a_rule_that_never_stops_changes_no_variant(stopping):
    changes = [Intervention(1, Zero()), Intervention(2, Mean()), Intervention(0, Resample())]
    model, rule = stopping.model, stopping.model.stop
    model.stop = None
    expected = variants(stopping, changes, only_correct=False)
    model.stop = After()
    found = variants(stopping, changes, only_correct=False)
    model.stop = rule
    for name in ("kl_first", "thought_change", "answer"):
        assert expected[name].identical(found[name].drop_vars("n_thoughts"))
    assert set(found["n_thoughts"].values) == {N_MOST}


@pytest.mark.slow
def test_the_ablator_says_how_many_problems_have_a_thought(stopping):
    ablator = TokenAblator(stopping.model, [Zero()])
    effects = ablator.run(stopping.problems, ["kl_first"], max_new_tokens=N_NEW)
    there = effects["kl_first"].isel(corruption=0).notnull().sum("problem")
    right = effects["baseline_correct"].values
    expected = [int((right & (np.array(stopping.n_thoughts) > i)).sum()) for i in range(N_MOST)]
    assert there.values.tolist() == expected


def test_clean_activations_of_other_numbers_of_thoughts_are_refused(stopping):
    model, rule = stopping.model, stopping.model.stop
    model.stop = None
    clean = collect(model, stopping.problems)
    model.stop = rule
    with pytest.raises(ValueError, match="collected without a stop rule"):
        variants(stopping, [Intervention(0, Mean())], donors=clean)


@pytest.mark.slow
def test_problems_without_any_thought_have_a_row_whatever_the_batches(stopping):
    lengths = {"p0": 2, "p1": 0}
    rule, before = After(tuple(lengths.items()), otherwise=1), stopping.model.stop
    try:
        stopping.model.stop = rule
        whole = collect(stopping.model, stopping.problems, ["input"])
        alone = collect(stopping.model, stopping.problems, ["input"], batch_size=1)
        stopping.model.stop = After(otherwise=0)
        with pytest.raises(ValueError, match="before their first thought"):
            collect(stopping.model, stopping.problems, ["input"])
    finally:
        stopping.model.stop = before
    assert whole.n_thoughts == alone.n_thoughts
    there = np.isfinite(alone["input"].numpy()).all(axis=2)
    assert there.sum(axis=1).tolist() == [lengths.get(name, 1) for name in alone.ids]
    torch.testing.assert_close(whole["input"], alone["input"], equal_nan=True)
