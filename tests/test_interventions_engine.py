"""A batch of variants off one prefix does what a plain one-at-a-time loop does."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from conftest import noise_floor_left_out
from cot_attn.data import Problem
from cot_attn.interventions import (
    CCTA,
    GaussianNoise,
    Intervention,
    Mean,
    Replace,
    Resample,
    Scale,
    Shuffle,
    ShuffleAll,
    Swap,
    TokenAblator,
    Unchanged,
    Zero,
    run_variants,
)
from cot_attn.models import ContinuousThoughtModel, Thought
from plain_loop import N_NEW, N_THOUGHTS, Twins

pytestmark = pytest.mark.slow

EVERY = ("failed", "answer", "kl_first", "kl_value", "logprob_gold", "logprob_baseline")


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def pair(request: pytest.FixtureRequest, questions: list[str]) -> Twins:
    return Twins(request.param, questions[:3])


def variants(pair: Twins, changes: list[Intervention], **options: object) -> xr.Dataset:
    options = {
        "problems": pair.problems,
        "outcomes": EVERY,
        "max_new_tokens": N_NEW,
        "only_correct": False,
        **options,
    }
    with noise_floor_left_out():
        return run_variants(pair.model, interventions=changes, **options)


CORRUPTIONS = [*CCTA, Mean(), Scale(-1.0), GaussianNoise(1.0, relative=True)]


def changes_with(downstream: str) -> list[Intervention]:
    return [
        *(Intervention(i, c, downstream=downstream) for i in (0, 2) for c in CORRUPTIONS),
        Intervention((0, 2), Swap(0, 2), downstream=downstream),
        Intervention(range(N_THOUGHTS), ShuffleAll(), downstream=downstream),
        Intervention((1, 2), Replace(torch.linspace(-1, 1, 32)), downstream=downstream),
    ]


def put_back_with(downstream: str) -> list[Intervention]:
    return [
        *(Intervention(i, Unchanged(), downstream=downstream) for i in range(N_THOUGHTS)),
        Intervention(range(N_THOUGHTS), Scale(1.0), downstream=downstream),
    ]


@pytest.fixture(scope="module")
def changed(pair: Twins) -> xr.Dataset:
    """What each change does, with both downstreams, in batches of 17."""
    changes = [change for each in ("recompute", "frozen") for change in changes_with(each)]
    return variants(pair, changes, batch_size=17)


@pytest.fixture(scope="module")
def put_back(pair: Twins) -> xr.Dataset:
    changes = [change for each in ("recompute", "frozen") for change in put_back_with(each)]
    return variants(pair, changes, outcomes=[*EVERY, "disruption_l2", "disruption_tv"])


@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_answers_are_those_of_a_plain_loop(
    pair: Twins, changed: xr.Dataset, downstream: str
) -> None:
    changes = changes_with(downstream)
    any_changed = [pair.assert_agrees(change, changed) for change in changes]
    assert sum(any_changed) > len(changes) / 2


@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_putting_back_what_was_there_moves_nothing(put_back: xr.Dataset, downstream: str) -> None:
    result = put_back.sel(variant=[change.label for change in put_back_with(downstream)])
    assert (result["failed"] == 0).all()
    assert (result["answer"] == result["baseline_answer"]).all()
    for name in ("kl_first", "kl_value", "disruption_l2", "disruption_tv"):
        assert float(result[name].max()) < 1e-5
    spread = result["logprob_baseline"].max("variant") - result["logprob_baseline"].min("variant")
    assert float(spread.max()) < 1e-4


@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
@pytest.mark.parametrize("thought", range(N_THOUGHTS))
def test_what_comes_before_a_changed_thought_stays_as_it_was(
    pair: Twins, thought: int, downstream: str
) -> None:
    def watched(model: ContinuousThoughtModel) -> tuple[Tensor, dict[tuple[int, str], Tensor]]:
        seen: dict[tuple[int, str], Tensor] = {}

        def keep(activation: Tensor, hook: object) -> None:
            stage = model.running.stage
            if isinstance(stage, Thought):
                seen[stage.index, hook.name] = activation.clone()

        names = [f"blocks.{layer}.attn.hook_{kv}" for layer in range(2) for kv in "kv"]
        with model.hooks([(name, keep) for name in names]):
            fed = model.think(pair.problems).thoughts
        return fed, seen

    before, keys_before = watched(pair.model)
    ablator = TokenAblator(pair.model)
    with ablator.applied(Intervention(thought, Zero(), downstream=downstream), pair.problems):
        after, keys_after = watched(pair.model)
    assert torch.equal(before[:, :thought], after[:, :thought])
    assert (after[:, thought] == 0).all()
    later_moved = not torch.allclose(before[:, thought + 1 :], after[:, thought + 1 :])
    assert later_moved == (downstream == "recompute" and thought + 1 < N_THOUGHTS)
    for (index, name), values in keys_before.items():
        if index < thought:
            assert torch.equal(values, keys_after[index, name])
        else:  # frozen or not, keys and values from the change on are computed anew
            moved = not torch.allclose(values, keys_after[index, name])
            # With its input frozen, a later thought moves through attention only.
            assert moved or (downstream == "frozen" and index > thought and "blocks.0" in name)


def test_one_change_at_one_thought_leaves_the_next_ones_input_alone(pair: Twins) -> None:
    """An engine that leaks feeds the next thought the corruption, or the old vector, again."""
    change = Intervention(1, Zero())
    with TokenAblator(pair.model).applied(change, pair.problems):
        fed = pair.model.think(pair.problems).thoughts
    for row in range(len(pair.problems)):
        plain = pair.changed(row, change)
        torch.testing.assert_close(fed[row], plain.thoughts, atol=1e-4, rtol=1e-4)


def test_results_depend_on_neither_batch_size_nor_order(pair: Twins) -> None:
    changes = [Intervention(i, c) for i, c in zip((0, 1, 2, 0, 2), CORRUPTIONS[3:8], strict=True)]
    outcomes = [*EVERY, "disruption_l2", "disruption_tv"]
    how = {"outcomes": outcomes, "seed": 3}
    expected = variants(pair, changes, **how)
    generator = np.random.default_rng(0)
    for size in (1, 4, 1000):
        order = generator.permutation(len(pair.problems))
        mixed = generator.permutation(len(changes))
        result = variants(
            pair,
            [changes[i] for i in mixed],
            problems=[pair.problems[i] for i in order],
            batch_size=size,
            **how,
        ).sel(problem=expected["problem"], variant=expected["variant"])
        assert (result["answer"] == expected["answer"]).all()
        for name in set(outcomes) - {"answer"}:
            xr.testing.assert_allclose(result[name], expected[name], atol=2e-4, rtol=1e-4)


def test_another_seed_draws_other_noise(pair: Twins) -> None:
    changes = [Intervention(0, GaussianNoise(1.0)), Intervention(0, Zero())]
    one, other = (variants(pair, changes, seed=seed)["kl_first"] for seed in (0, 1))
    same = np.isclose(one, other, atol=1e-6).all()
    assert not same
    zero = changes[1].label
    np.testing.assert_allclose(one.sel(variant=zero), other.sel(variant=zero), atol=1e-5)


@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_the_hook_form_gives_what_the_engine_gives(pair: Twins, downstream: str) -> None:
    changes = [
        Intervention(i, c, downstream=downstream)
        for i, c in enumerate((Zero(), GaussianNoise(1.0), Resample()))
    ]
    changes += [Intervention((0, 2), c, downstream=downstream) for c in (Shuffle(), Mean())]
    answers = variants(pair, changes, outcomes=["answer"], seed=5)["answer"]
    ablator = TokenAblator(pair.model, seed=5)
    for change in changes:
        with ablator.applied(change, pair.problems):
            generated = pair.model.generate(pair.problems, max_new_tokens=N_NEW)
        assert generated == answers.sel(variant=change.label).values.tolist()


def test_donors_may_come_from_a_reference_of_other_problems(pair: Twins) -> None:
    donors = [Problem(f"d{i}", f"w{i} w{i + 1}") for i in range(3)]
    change = Intervention(0, Mean())
    result = variants(pair, [change], donors=donors)
    mean = pair.model.think(donors).thoughts[:, 0].mean(dim=0)
    expected = variants(pair, [Intervention(0, Replace(mean))])
    assert result.attrs["n_donors"] == 3
    assert (result["answer"].values == expected["answer"].values).all()
    np.testing.assert_allclose(result["kl_first"], expected["kl_first"], atol=1e-4)


def test_problems_with_a_wrong_baseline_stay_as_nan(pair: Twins) -> None:
    wrong = Problem("wrong", "w1 w2 w3", "never said", answer_type="text")
    problems = [*pair.problems, wrong]
    result = run_variants(
        pair.model, problems, [Intervention(0, Zero())], EVERY, max_new_tokens=N_NEW
    )
    assert result.attrs["n_baseline_wrong"] == 1
    assert not result["baseline_correct"].sel(problem="wrong")
    for name in set(EVERY) - {"answer"}:
        assert np.isnan(result[name].sel(problem="wrong")).all(), name
        assert np.isfinite(result[name].sel(problem="p0")).all(), name


def test_the_ablator_lays_its_variants_out_by_thought_and_corruption(pair: Twins) -> None:
    corruptions = [Zero(), Scale(2.0)]
    effects = TokenAblator(pair.model, corruptions, downstream="frozen").run(
        pair.problems, EVERY, max_new_tokens=N_NEW
    )
    assert effects["failed"].dims == ("problem", "thought", "corruption")
    assert effects.attrs["downstream"] == "frozen"
    assert set(effects.attrs["noise_floor"]) == set(EVERY) - {"answer"}
    flat = variants(
        pair,
        [Intervention(i, c, downstream="frozen") for i in range(N_THOUGHTS) for c in corruptions],
    )
    for i in range(N_THOUGHTS):
        for c in corruptions:
            label = Intervention(i, c, downstream="frozen").label
            one = effects.sel(thought=i, corruption=c.label)
            np.testing.assert_allclose(one["kl_first"], flat["kl_first"].sel(variant=label))
            assert (one["answer"].values == flat["answer"].sel(variant=label).values).all()
