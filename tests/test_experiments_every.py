"""What holds for every experiment: it resumes, and neither batches nor order change anything."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import xarray as xr

from cot_attn.data import Problem
from cot_attn.experiments import (
    Direction,
    Edge,
    causal_graph,
    draw_pairs,
    exit_curve,
    frontier,
    interchange,
    rank_heads,
    steer,
    usage,
)
from cot_attn.experiments import _batches as batches
from cot_attn.interventions import variants
from cot_attn.models import ContinuousThoughtModel
from cot_attn.toy import graph_problems

pytestmark = pytest.mark.slow

Problems = Sequence[Problem]
PROBLEMS = [
    Problem(f"p{i}", " ".join(f"w{3 * i + j}" for j in range(2 + i % 3)), "w1", answer_type="text")
    for i in range(6)
]
GRAPHS = graph_problems(5, [f"w{i}" for i in range(26)], n_steps=2)
TOKENS = {"max_new_tokens": 3}
EDGES = [Edge("question", "thought 1"), Edge("bot", "thought 0", "feedback")]
Run = Callable[..., xr.Dataset]
EVERY: dict[str, tuple[Run, Problems]] = {
    "usage": (lambda model, given, **how: usage(model, given, **TOKENS, **how), PROBLEMS),
    "exits": (
        lambda model, given, seed=0, **how: exit_curve(model, given, **TOKENS, **how),
        PROBLEMS,
    ),
    "interchange": (
        lambda model, given, **how: interchange(model, draw_pairs(given, 1), **TOKENS, **how),
        PROBLEMS,
    ),
    "steer": (
        lambda model, given, **how: steer(
            model, given, Direction.given(torch.ones(32), model.n_thoughts), [1.0], target="w5",
            n_random=2, **TOKENS, **how,
        ),
        PROBLEMS,
    ),
    "graph": (
        lambda model, given, **how: causal_graph(
            model, given, edges=EDGES, **TOKENS, **how
        ),
        PROBLEMS,
    ),
    "heads": (
        lambda model, given, **how: rank_heads(
            model, given, 1, n_single=4, sizes=[2], n_random=2, **TOKENS, **how
        ),
        PROBLEMS,
    ),
    "frontier": (lambda model, given, **how: frontier(model, given, **how), GRAPHS),
}  # fmt: skip
every = pytest.mark.parametrize("name", EVERY)


def by_label(found: xr.Dataset) -> xr.Dataset:
    return found.sortby("pair" if "pair" in found.dims else "problem")


@every
def test_what_was_done_before_an_interruption_is_not_done_again(
    name: str, tmp_path, tiny_gpt2_model: ContinuousThoughtModel, monkeypatch
) -> None:
    run, given = EVERY[name]
    whole = run(tiny_gpt2_model, given, batch_size=2)
    rollouts: list[int] = []
    think = type(tiny_gpt2_model).rollout

    def counted(model: ContinuousThoughtModel, *arguments: Any, **options: Any) -> Any:
        rollouts.append(len(rollouts))
        if len(rollouts) == stop_at:
            raise KeyboardInterrupt
        return think(model, *arguments, **options)

    monkeypatch.setattr(type(tiny_gpt2_model), "rollout", counted)
    stop_at = -1
    run(tiny_gpt2_model, given, batch_size=2)
    needed, stop_at = len(rollouts), len(rollouts)  # the last of all
    rollouts.clear()
    with pytest.raises(KeyboardInterrupt):
        run(tiny_gpt2_model, given, batch_size=2, resume=tmp_path)
    assert list(tmp_path.rglob("*.npz"))
    rollouts.clear()
    resumed = run(tiny_gpt2_model, given, batch_size=2, resume=tmp_path)
    assert len(rollouts) < needed
    xr.testing.assert_allclose(resumed, whole, atol=1e-6)
    assert not list(tmp_path.rglob("*.npz"))


@every
def test_neither_batches_nor_order_change_an_experiment(
    name: str, tiny_gpt2_model: ContinuousThoughtModel
) -> None:
    run, given = EVERY[name]
    torch.manual_seed(0)
    whole = run(tiny_gpt2_model, given)
    torch.manual_seed(1)
    parts = run(tiny_gpt2_model, list(given)[::-1], batch_size=2)
    xr.testing.assert_allclose(by_label(parts), by_label(whole), atol=1e-3, rtol=1e-3)


@every
def test_another_seed_is_another_draw(name: str, tiny_gpt2_model: ContinuousThoughtModel) -> None:
    if name == "exits":
        pytest.skip("nothing is drawn")
    run, given = EVERY[name]
    one, other = (run(tiny_gpt2_model, given, seed=seed).drop_attrs() for seed in (0, 1))
    assert not one.identical(other)


@every
def test_an_experiment_says_how_far_it_is(
    name: str, tiny_gpt2_model: ContinuousThoughtModel, monkeypatch
) -> None:
    told: dict[str, list[int]] = {}

    @contextmanager
    def watched(title: str, total: int):
        told[title] = [total, 0]

        def advance(done: int) -> None:
            told[title][1] += done

        yield advance

    for module in (batches, variants):
        monkeypatch.setattr(module, "progress", watched)
    run, given = EVERY[name]
    run(tiny_gpt2_model, given)
    assert told
    assert all(done == total > 0 for total, done in told.values())
