"""What the library runs on its own account is neither seen nor changed by anybody's hooks."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import torch
import xarray as xr
from torch import Tensor

from cot_attn import run_study
from cot_attn.data import Problem
from cot_attn.interventions import (
    Attention,
    Intervention,
    KnockOut,
    Mean,
    Resample,
    TokenAblator,
    Zero,
    apply_interventions,
    collect,
    noise_floor,
    run_variants,
)
from cot_attn.interventions.variants import check_interventions
from cot_attn.models import ContinuousThoughtModel, Thought, validate
from cot_attn.recording import AttentionRecorder, PositionRecorder
from plain_loop import Twins


def all_hooks(model: ContinuousThoughtModel) -> list[object]:
    """Every hook function on the model, point by point and in order."""
    points = [*model.bridge.hook_points(), model.feedback.hook_in, model.feedback.hook_out]
    return [
        (point.name, list(point._forward_hooks), [handle.user_hook for handle in point.fwd_hooks])
        for point in points
    ]


@pytest.mark.slow
def test_hooks_and_watchers_are_set_aside_and_come_back_in_order(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    plain = tiny.think(questions)
    calls: list[str] = []

    def double(fed: Tensor, hook: object) -> Tensor:
        calls.append("double")
        return 2 * fed

    def add_one(fed: Tensor, hook: object) -> Tensor:
        calls.append("add one")
        return fed + 1

    names = ["feedback.hook_in", "blocks.1.hook_out", "feedback.hook_out"]
    tiny.bridge.add_perma_hook("blocks.0.hook_out", add_one)
    try:
        with (
            tiny.hooks([(name, double) for name in names], stages=[Thought(1)]),
            tiny.bridge.hooks(fwd_hooks=[("blocks.1.hook_out", add_one)]),
            tiny.watch(lambda run: calls.append("watched")),
        ):
            before, changed = all_hooks(tiny), tiny.think(questions)
            calls.clear()
            with tiny.isolated(), tiny.isolated():
                alone = tiny.think(questions)
                with tiny.hooks([("feedback.hook_out", add_one)], stages=[Thought(0)]):
                    inner = tiny.think(questions)
            assert calls == ["add one"]
            torch.testing.assert_close(alone.thoughts, plain.thoughts, atol=0, rtol=0)
            torch.testing.assert_close(inner.thoughts[:, 0], plain.thoughts[:, 0] + 1)
            assert all_hooks(tiny) == before
            again = tiny.think(questions)
            torch.testing.assert_close(again.thoughts, changed.thoughts, atol=0, rtol=0)
            assert not torch.equal(again.thoughts, plain.thoughts)
            assert calls.count("watched") == 1
    finally:
        tiny.bridge.reset_hooks(including_permanent=True)
    assert not any(handles for _, *both in all_hooks(tiny) for handles in both)


def test_hooks_come_back_after_an_exception(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    seen: list[object] = []
    with tiny.hooks([("blocks.0.hook_out", lambda a, hook: seen.append(hook.name))]):
        with pytest.raises(RuntimeError, match="on purpose"), tiny.isolated():
            raise RuntimeError("on purpose")
        assert not seen
        tiny.think(questions)
        assert seen
    assert not any(handles for _, *both in all_hooks(tiny) for handles in both)


@contextmanager
def everybodys_hooks(model: ContinuousThoughtModel, seen: list[object]) -> Iterator[None]:
    """Hooks of every kind, all of which would change what they see."""
    names = ["feedback.hook_in", "feedback.hook_out", "blocks.1.hook_out", "blocks.0.attn.hook_z"]
    on_bridge = names[2:]

    def spoil(activation: Tensor, hook: object) -> Tensor:
        seen.append(hook.name)
        return torch.randn_like(activation)

    for name in on_bridge:
        model.bridge.add_hook(name, spoil)
    try:
        with (
            model.hooks([(name, spoil) for name in names]),
            model.hooks([(lambda name: name.endswith("hook_pattern"), spoil)]),
            model.bridge.hooks(fwd_hooks=[(name, spoil) for name in on_bridge]),
            model.watch(seen.append),
        ):
            yield
    finally:
        model.bridge.reset_hooks()


OWN_RUNS: dict[str, Callable[[ContinuousThoughtModel, list[Problem]], object]] = {
    "variants": lambda model, problems: run_variants(
        model,
        problems,
        [Intervention(1, Zero()), Intervention(0, Mean(), "blocks.1.hook_out", "frozen")],
        ["failed", "kl_first", "answer", "disruption_l2"],
        max_new_tokens=4,
    ),
    "ablator": lambda model, problems: TokenAblator(model, [Resample()]).run(
        problems, max_new_tokens=4
    ),
    "study": lambda model, problems: (
        run_study(model, problems, corruptions="zero", max_new_tokens=4).effects
    ),
    "noise floor": lambda model, problems: noise_floor(model, problems, max_new_tokens=4),
    "collect": lambda model, problems: (
        collect(model, problems, ["input", "hidden", "blocks.1.hook_out"]).activations
    ),
    "check of interventions": lambda model, problems: check_interventions(
        [Intervention(0, Zero(), "kv"), Intervention(0, KnockOut(), "attention")], model
    ),
    "validation": lambda model, problems: validate(model),
}


@pytest.mark.slow
@pytest.mark.parametrize("own_run", OWN_RUNS.values(), ids=OWN_RUNS.keys())
def test_nobodys_hooks_see_or_change_what_the_library_runs_for_itself(
    own_run: Callable[[ContinuousThoughtModel, list[Problem]], object],
    tiny_gpt2_model: ContinuousThoughtModel,
    asked: list[Problem],
) -> None:
    model = tiny_gpt2_model
    plain = own_run(model, asked)
    seen: list[object] = []
    with (
        AttentionRecorder(model) as rows,
        everybodys_hooks(model, seen),
        PositionRecorder(model) as positions,
    ):
        on = all_hooks(model)
        spoilt = own_run(model, asked)
        assert all_hooks(model) == on
    assert not seen
    assert not positions.problems
    with pytest.raises(ValueError, match="Nothing was recorded"):
        rows.dataset()
    if isinstance(plain, xr.Dataset):
        xr.testing.assert_identical(plain, spoilt)
    elif isinstance(plain, dict) and "kl_first" not in plain:
        for hook, activations in plain.items():
            torch.testing.assert_close(spoilt[hook], activations, atol=0, rtol=0)
    else:
        assert spoilt == plain


@pytest.fixture(scope="module")
def asked(tiny_gpt2_model: ContinuousThoughtModel, questions: list[str]) -> list[Problem]:
    """Four problems that the model gets right."""
    answers = tiny_gpt2_model.generate(questions, max_new_tokens=4)
    pairs = [(q, a) for q, a in zip(questions, answers, strict=True) if a]
    return [
        Problem(f"p{i}", q, a, answer_type="text", difficulty=i) for i, (q, a) in enumerate(pairs)
    ][:4]


@pytest.mark.slow
@pytest.mark.parametrize("recorder_first", [True, False])
@pytest.mark.parametrize(
    "change",
    [Intervention(1, Resample()), Intervention(1, KnockOut(), "attention")],
    ids=lambda change: change.label,
)
def test_a_recorder_records_an_applied_change_once_round_it_or_in_it(
    recorder_first: bool,
    change: Intervention,
    tiny_gpt2_model: ContinuousThoughtModel,
    asked: list[Problem],
) -> None:
    model = tiny_gpt2_model
    plain = record(model, asked)
    known = collect(model, asked)
    with apply_interventions(model, change, known):
        by_hand = model.run(asked, max_new_tokens=3)
    ablator, recorder = TokenAblator(model), AttentionRecorder(model)
    with ExitStack() as stack:
        if recorder_first:
            stack.enter_context(recorder)
        stack.enter_context(ablator.applied(change, asked))
        if not recorder_first:
            stack.enter_context(recorder)
        run = model.run(asked, max_new_tokens=3)
        TokenAblator(model, [Zero()]).run(asked[:2], max_new_tokens=3)
    torch.testing.assert_close(run.first_logits, by_hand.first_logits, atol=0, rtol=0)
    attention = recorder.dataset().attention
    assert attention["problem"].values.tolist() == [problem.id for problem in asked]
    key = {"query": "eot", "key": "thought 1"}
    if isinstance(change.site, Attention):
        assert (attention.sel(key) == 0).all()
    else:
        assert abs(attention - plain.attention).sel(query="eot").max() > 1e-3
    assert (plain.attention.sel(key) > 0).all()


def record(model: ContinuousThoughtModel, problems: list[Problem]) -> xr.Dataset:
    with AttentionRecorder(model) as recorder:
        model.run(problems, max_new_tokens=3)
    return recorder.dataset()


@pytest.mark.slow
def test_at_one_hook_functions_are_called_in_the_order_in_which_they_came(
    tiny_gpt2_model: ContinuousThoughtModel, asked: list[Problem]
) -> None:
    model = tiny_gpt2_model
    halve = [("blocks.1.attn.hook_pattern", lambda pattern, hook: pattern / 2)]
    plain = record(model, asked).attention
    with AttentionRecorder(model) as before, model.hooks(halve):
        TokenAblator(model, [Zero()]).run(asked, max_new_tokens=4)
        model.run(asked, max_new_tokens=3)
    with model.hooks(halve), AttentionRecorder(model) as behind:
        TokenAblator(model, [Zero()]).run(asked, max_new_tokens=4)
        model.run(asked, max_new_tokens=3)
    one = {"layer": 1, "query": "bot"}
    xr.testing.assert_allclose(before.dataset().attention.sel(one), plain.sel(one))
    xr.testing.assert_allclose(behind.dataset().attention.sel(one), plain.sel(one) / 2)


def test_after_an_error_in_a_run_of_its_own_every_hook_is_back(
    tiny_gpt2_model: ContinuousThoughtModel, asked: list[Problem]
) -> None:
    model = tiny_gpt2_model

    def broken(activation: Tensor, context: object) -> Tensor:
        raise RuntimeError("on purpose")

    before = all_hooks(model)
    with AttentionRecorder(model) as recorder:
        inside = all_hooks(model)
        with pytest.raises(RuntimeError, match="on purpose"):
            run_variants(model, asked, [Intervention(0, broken)], max_new_tokens=4)
        assert all_hooks(model) == inside
        model.run(asked, max_new_tokens=2)
    assert all_hooks(model) == before
    assert recorder.dataset().sizes["problem"] == len(asked)
    assert model.running is None


def test_an_applied_change_that_a_run_does_not_reach_is_an_error(
    tiny_gpt2_model: ContinuousThoughtModel, asked: list[Problem]
) -> None:
    model = tiny_gpt2_model
    with (
        pytest.raises(ValueError, match=r"thought 2' was not carried out: this run has 2 thoughts"),
        TokenAblator(model).applied(Intervention(2, Zero()), asked),
    ):
        model.run(asked, n_thoughts=2, max_new_tokens=2)


@pytest.mark.slow
def test_a_run_of_variants_inside_hooks_says_that_they_play_no_part(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    model, problem = tiny_gpt2_model, Problem("a", "w1 w2", "3")
    changes = [Intervention(0, Zero())]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_variants(model, [problem], changes, ["kl_first"], max_new_tokens=2)
    with (
        model.hooks([("blocks.1.hook_out", lambda residual, hook: 0 * residual)]),
        pytest.warns(UserWarning, match=r"hooks at 'blocks\.1\.hook_out', .* runs without them"),
    ):
        run_variants(model, [problem], changes, ["kl_first"], max_new_tokens=2)
    assert model.hooks_set_aside == ()


def test_what_a_bridge_has_wired_itself_stays_in_isolation(questions: list[str]) -> None:
    """OPT's bridge fills the points of its MLP by hooks of its own on the layers in it."""
    model = Twins("opt", questions[:1]).model
    seen: list[Tensor] = []
    look = [("blocks.1.mlp.hook_out", lambda out, hook: seen.append(out))]
    before = all_hooks(model)
    with model.hooks(look), model.isolated(), model.hooks(look):
        model.think(questions[:1], n_thoughts=1)
    assert len(seen) == 3
    assert all_hooks(model) == before
