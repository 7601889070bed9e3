"""What the library runs on its own account is neither seen nor changed by anybody's hooks."""

import pytest
import torch
from torch import Tensor

from cot_attn.models import ContinuousThoughtModel, Thought


def all_hooks(model: ContinuousThoughtModel) -> list[object]:
    """Every hook function on the model, point by point and in order."""
    points = [*model.bridge.hook_points(), model.feedback.hook_in, model.feedback.hook_out]
    return [
        (point.name, list(point._forward_hooks), [handle.user_hook for handle in point.fwd_hooks])
        for point in points
    ]


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
