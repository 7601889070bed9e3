"""Batches fit into memory, and no logits are kept that nobody reads."""

from collections.abc import Sequence

import pytest
import torch

from conftest import BUILDERS, wrap
from cot_attn.data import Problem
from cot_attn.interventions import Intervention, Scale, Shuffle, Zero, run_variants
from cot_attn.interventions._engine import measuring
from cot_attn.interventions._engine.batches import ROWS_OF_A_PROBLEM, fitting, most_rows
from cot_attn.models import ContinuousThoughtModel, Identity
from cot_attn.models.batching import Batches
from cot_attn.models.rollout import Rollout

PROBLEMS = [Problem(f"p{i}", f"w{i} w{i + 1} w{2 * i}"[: 3 + 2 * i], "1") for i in range(5)]
CHANGES = [Intervention(i, c) for i in range(3) for c in (Zero(), Scale(-1.0))]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), MemoryError()], ids=repr)
def test_a_batch_that_runs_out_of_memory_halves_until_it_fits(error: Exception) -> None:
    done: list[int] = []

    def job(items: Sequence[int]) -> None:
        if len(items) > 3:
            raise error
        done.extend(items)

    batches = Batches(20)
    batches.work(range(17), job)
    assert done == list(range(17))
    assert batches.size <= 3


def test_an_item_that_never_fits_and_other_errors_are_raised() -> None:
    def too_large(items: Sequence[int]) -> None:
        raise torch.OutOfMemoryError("no")

    def wrong(items: Sequence[int]) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(torch.OutOfMemoryError):
        Batches(4).work(range(3), too_large)
    batches = Batches(4)
    with pytest.raises(RuntimeError, match="shapes"):
        batches.work(range(3), wrong)
    assert batches.size == 4


def test_batches_are_of_about_equal_size() -> None:
    sizes: list[int] = []
    Batches(8).work(range(17), lambda items: sizes.append(len(items)))
    assert sizes == [6, 6, 5]


def test_items_that_bring_several_rows_come_in_smaller_batches() -> None:
    sizes: list[int] = []

    def job(items: Sequence[int]) -> None:
        sizes.append(len(items))
        if len(items) > 2:
            raise MemoryError

    batches = Batches(16)
    batches.work(range(9), job, rows_each=4)
    assert sizes == [3, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert batches.size == 4


@pytest.mark.slow
def test_running_out_of_memory_in_the_middle_changes_no_result(
    tiny_gpt2_model: ContinuousThoughtModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"outcomes": ["answer", "kl_first"], "max_new_tokens": 4, "only_correct": False}
    expected = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **options)
    force_answer = Rollout.force_answer

    def small_only(self: Rollout, *args: object) -> torch.Tensor:
        if len(self.problems) > 3:
            raise torch.OutOfMemoryError("made up")
        return force_answer(self, *args)

    monkeypatch.setattr(Rollout, "force_answer", small_only)
    result = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **options)
    assert (result["answer"] == expected["answer"]).all()
    assert float(abs(result["kl_first"] - expected["kl_first"]).max()) < 1e-4


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_as_many_rows_run_at_once_as_fit_into_a_quarter_of_the_free_memory(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against the keys and values that a run has: rows decode with a copy of their own."""
    model, free = wrap(BUILDERS[architecture](), Identity()), 2e6
    monkeypatch.setattr("cot_attn.interventions._engine.batches._free_bytes", lambda device: free)
    sizes = [fitting(model, length) for length in (10, 20, 40, 10**9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    n_rows, question = sizes[1], [3] * 18  # and BOT, and one thought
    problems = [Problem(f"p{i}", "w3") for i in range(n_rows)]
    rollout = model.rollout(problems, [question] * n_rows, 1)
    rollout.read()
    rollout.think(0)
    kept = [states for layer in rollout._cache.layers for states in (layer.keys, layer.values)]
    assert {states.shape[2] for states in kept} == {20}
    row = sum(states[0].numel() * states.element_size() for states in kept)
    assert 2 * n_rows * row <= free / 4 < 2 * (n_rows + 1) * row


@pytest.mark.slow
def test_logits_exist_for_a_few_positions_at_a_time(
    tiny_gpt2_model: ContinuousThoughtModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    widest: list[int] = []
    logits = Rollout.logits

    def counted(self: Rollout, hidden: torch.Tensor, *others: object) -> torch.Tensor:
        widest.append(hidden.shape[:-1].numel())
        return logits(self, hidden, *others)

    options = {"max_new_tokens": 4, "only_correct": False}
    expected = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, ["answer"], **options)
    monkeypatch.setattr(measuring, "MANY", 7)
    monkeypatch.setattr(Rollout, "logits", counted)
    result = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, ["answer"], **options)
    # Seven at once, or at most one for each answer that changed: those are decoded together.
    n_changed = int((result["answer"] != result["baseline_answer"]).sum())
    assert 7 < max(widest) <= n_changed
    assert (result["answer"] == expected["answer"]).all()
    widest.clear()
    run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, ["thought_change"], **options)
    # Only the baselines' own answers need logits where no outcome reads a variant's.
    assert max(widest) <= len(PROBLEMS)


@pytest.mark.slow
def test_a_problem_that_others_are_compared_with_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Baselines are collected, variants branch off them, and the noise floor is measured."""
    model, plain = wrap(BUILDERS["gpt2"](), Identity()), Rollout.read
    read: list[str] = []

    def noted(rollout: Rollout) -> None:
        read.extend(problem.id for problem in rollout.problems)
        plain(rollout)

    monkeypatch.setattr(Rollout, "read", noted)
    run_variants(model, PROBLEMS, [Intervention(1, Shuffle())], max_new_tokens=3)
    ids = {problem.id for problem in PROBLEMS}
    assert sorted(each for each in read if each in ids) == sorted(ids)


@pytest.mark.parametrize("n_interventions", [1, 4, 50])
def test_rows_are_counted_with_their_share_of_the_prompt(
    tiny_gpt2_model: ContinuousThoughtModel, n_interventions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 4e6
    monkeypatch.setattr("cot_attn.interventions._engine.batches._free_bytes", lambda device: free)
    model, n_new, question = tiny_gpt2_model, 3, [3] * 80
    n_rows = most_rows(model, [question], n_new, n_interventions)
    position = 2 * model.n_layers * model.d_kv * 4  # keys and values in float32
    prompt = 80 // min(n_interventions, ROWS_OF_A_PROBLEM)
    row = 2 * position * (prompt + model.n_thoughts + n_new)
    assert n_rows * row <= free / 4 < (n_rows + 1) * row
