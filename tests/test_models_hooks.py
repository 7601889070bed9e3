"""A hook that would do nothing is refused, at the door or when its context ends."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cot_attn.data import Problem
from cot_attn.interventions import Hook, KeysValues, collect
from cot_attn.interventions.sites import HIDDEN, INPUT
from cot_attn.models import Answer, Close, ContinuousThoughtModel, Prompt, Stage, Thought
from cot_attn.recording import AttentionRecorder
from cot_attn.toy.handmade import handmade_model


def nothing(activation: Tensor, hook: object) -> None:
    """Change nothing."""


@pytest.mark.parametrize(
    "stages",
    [
        [Thought(-1)],
        [Answer(-1)],
        [Thought(0), Thought(-2)],
        [Thought(True)],
        [Prompt(), Answer(-3)],
        [],
    ],
    ids=str,
)
def test_stages_that_cannot_be_are_refused_at_the_door(
    stages: list[Stage], tiny_gpt2_model: ContinuousThoughtModel
) -> None:
    hooks = [("feedback.hook_out", nothing)]
    with (
        pytest.raises(ValueError, match=r"counted from 0 on|stages is empty"),
        tiny_gpt2_model.hooks(hooks, stages=stages),
    ):
        pass


def test_an_index_may_be_a_whole_number_of_any_type(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    seen: list[object] = []
    hooks = [("feedback.hook_out", lambda fed, hook: seen.append(tiny_gpt2_model.running.stage))]
    stage = Thought(0)
    object.__setattr__(stage, "index", np.int64(2))  # past the tests' check of annotations
    with tiny_gpt2_model.hooks(hooks, stages=[stage]):
        tiny_gpt2_model.think(["w1"])
    assert seen == [Thought(2)]


def test_hooks_on_the_feedback_do_not_ask_the_bridge_for_its_own(
    tiny_gpt2_model: ContinuousThoughtModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[None] = []
    kind = type(tiny_gpt2_model.bridge)
    dictionary = kind.hook_dict.fget
    monkeypatch.setattr(kind, "hook_dict", property(lambda b: asked.append(None) or dictionary(b)))
    with tiny_gpt2_model.hooks([("feedback.hook_out", nothing)]):
        tiny_gpt2_model.think(["w1"])
    assert not asked
    with tiny_gpt2_model.hooks([("blocks.0.hook_out", nothing)]):
        tiny_gpt2_model.think(["w1"])
    assert asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages", "run"),
    [
        ("feedback.hook_out", [Thought(99)], {}),
        ("blocks.1.hook_out", [Thought(4)], {}),
        ("blocks.1.hook_out", [Thought(2), Thought(3)], {"n_thoughts": 2}),
        ("blocks.1.hook_out", [Answer(99)], {"max_new_tokens": 4}),
        ("blocks.1.hook_out", [Answer(0)], {"max_new_tokens": 0}),
        (lambda name: name.endswith("hook_z"), [Thought(7)], {}),
        ("feedback.hook_in", [Prompt(), Close()], {}),
        (lambda name: name.startswith("feedback"), [Answer(0)], {}),
        ("embed.hook_out", [Thought(0)], {}),
        ("feedback.hook_out", [Thought(0)], {"n_thoughts": 0}),
        ("blocks.0.attn.qkv.hook_out", None, {}),  # this bridge never passes it
        (lambda name: name.endswith("qkv.hook_in"), None, {}),
    ],
    ids=lambda value: "function" if callable(value) else str(value),
)
def test_a_function_that_was_never_called_is_an_error_when_its_context_ends(
    name: object,
    stages: list[Stage] | None,
    run: dict[str, int],
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    model, ran = tiny_gpt2_model, []

    def use() -> None:
        # Another hook of the same context, which is called, does not hide it.
        pairs = [(name, nothing), ("blocks.0.hook_out", nothing)]
        with model.hooks(pairs, stages=None if stages is None else [*stages]):
            ran.append(model.run(["w1 w2", "w3"], **{"max_new_tokens": 3, **run}))

    with pytest.raises(ValueError, match=r"was never called"):
        use()
    assert len(ran) == 1  # what ran is not lost
    points = model.bridge.hook_points()
    assert not any(point.fwd_hooks for point in [*points, *model.feedback_points])


@pytest.mark.slow
def test_stages_of_which_one_is_reached_are_enough() -> None:
    model, calls = handmade_model(), []
    hooks = [("blocks.1.hook_out", lambda a, hook: calls.append(model.running.stage))]
    with model.hooks(hooks, stages=[*(Thought(i) for i in range(9)), Answer(50)]):
        model.run(["w1"], max_new_tokens=2, n_thoughts=2)
    assert calls == [Thought(0), Thought(1)]
    calls.clear()
    with model.hooks(hooks, stages=[Thought(99)]):  # a run may have so many
        model.think(["w1"], n_thoughts=2)
        model.think(["w1"], n_thoughts=100)
    assert calls == [Thought(99)]


def test_contexts_without_a_run_and_runs_that_failed_say_nothing_of_it(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    model, hooks = tiny_gpt2_model, [("feedback.hook_out", nothing)]
    with model.hooks(hooks, stages=[Thought(99)]):
        pass

    def fail() -> None:
        with model.hooks(hooks, stages=[Thought(99)]):
            model.think(["w1"])
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    with model.hooks(hooks):  # without named stages, runs without thoughts are nobody's fault
        model.think(["w1"], n_thoughts=0)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (lambda name: "nowhere" in name, KeyError, "chooses none of the"),
        (lambda name: False, KeyError, "feedback.hook_in"),
        ("feedback.hook_ouut", KeyError, "Did you mean 'feedback.hook_out'"),
        ("feedback", KeyError, "no hook named"),
    ],
)
def test_a_name_that_is_no_hook_is_refused_at_the_door(
    name: object, error: type[Exception], message: str, tiny_gpt2_model: ContinuousThoughtModel
) -> None:
    model = tiny_gpt2_model
    pairs = [("blocks.0.hook_out", nothing), ("feedback.hook_in", nothing), (name, nothing)]
    with pytest.raises(error, match=message), model.hooks(pairs):
        pass
    points = model.bridge.hook_points()
    assert not any(point.fwd_hooks for point in [*points, *model.feedback_points])


def test_a_function_may_choose_feedback_and_bridge_at_once(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    model, names = tiny_gpt2_model, set()
    chosen = {"feedback.hook_in", "feedback.hook_out", "blocks.0.hook_out"}
    with model.hooks([(lambda name: name in chosen, lambda a, hook: names.add(hook.name))]):
        model.think(["w1"])
    assert names == chosen


# Collecting ------------------------------------------------------------------------------------


def test_collecting_takes_names_and_objects(
    tiny: ContinuousThoughtModel, problems: list[Problem]
) -> None:
    named = collect(tiny, problems, ["input", "hidden", "blocks.1.hook_out", "kv"])
    objects = collect(tiny, problems, (INPUT, HIDDEN, Hook("blocks.1.hook_out"), KeysValues()))
    assert named.activations.keys() == objects.activations.keys()
    assert len(named.activations) == 3 + 2 * tiny.n_layers
    for hook, activations in objects.activations.items():
        assert torch.equal(named.activations[hook], activations)
    run = tiny.think(sorted(problems, key=lambda problem: problem.id))
    torch.testing.assert_close(named.at("input"), run.thoughts, atol=1e-4, rtol=1e-4)
    assert torch.equal(named.at("hidden"), named.at(HIDDEN))


@pytest.mark.parametrize(
    ("hooks", "error", "message"),
    [
        ("input", TypeError, r"give a list, as in \['input'\]"),
        (["attention"], ValueError, "no activations of the site 'attention'"),
        (["blocks.0.attn.hook_pattern"], ValueError, "has the shape"),
        (["embed.hook_out"], ValueError, "never fires on a thought"),
        (["blocks.0.hook_ouut"], KeyError, "Did you mean"),
    ],
)
def test_what_cannot_be_collected_is_refused(
    hooks: object,
    error: type[Exception],
    message: str,
    tiny: ContinuousThoughtModel,
    problems: list[Problem],
) -> None:
    with pytest.raises(error, match=message):
        collect(tiny, problems[:2], hooks)


def test_a_recorder_on_a_bridge_without_patterns_says_so(
    tiny_gpt2_model: ContinuousThoughtModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tiny_gpt2_model.bridge.hook_dict["blocks.1.attn.hook_pattern"]
    monkeypatch.setattr(type(silent), "__call__", skip(silent, type(silent).__call__))
    with (
        pytest.raises(ValueError, match="never"),
        AttentionRecorder(tiny_gpt2_model, layers=[1]),
    ):
        tiny_gpt2_model.run(["w1"], max_new_tokens=2)


def skip(silent: object, call: object) -> object:
    """Return a call that passes one hook point by."""
    return lambda point, x: x if point is silent else call(point, x)
