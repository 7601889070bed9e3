"""What holds for every experiment: it resumes, and neither batches nor order change anything."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import pytest
import torch
import xarray as xr

from conftest import tiny_gpt2, wrap
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
from cot_attn.interventions.resume import Arrays, FinishedProblems
from cot_attn.models import ContinuousThoughtModel, Projection
from cot_attn.toy import graph_problems

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

Problems = Sequence[Problem]
LENGTHS = (3, 11, 1, 7)
PROBLEMS = [
    Problem(f"p{i}", " ".join(f"w{(3 * i + j) % 30}" for j in range(n)), "w1", answer_type="text")
    for i, n in enumerate(LENGTHS)
]
GRAPHS = graph_problems(4, [f"w{i}" for i in range(26)], n_steps=2)
TOKENS = {"max_new_tokens": 2}
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


@pytest.fixture(scope="module")
def tiny_gpt2_model() -> ContinuousThoughtModel:
    """A model of two layers and two thoughts, which are enough here."""
    torch.manual_seed(7)
    return wrap(tiny_gpt2(2), Projection(32, 40), n_thoughts=2)


@dataclass
class Done:
    """One run of an experiment, in batches of two.

    Attributes
    ----------
    found
        The result.
    n_batches
        How many batches it kept in `resume` as it went on.
    told
        What was said of its progress: for each title, how many there are and how many were done.
    """

    found: xr.Dataset
    n_batches: int
    told: dict[str, list[int]]


@pytest.fixture(scope="module")
def done(tiny_gpt2_model: ContinuousThoughtModel, tmp_path_factory) -> Callable[[str], Done]:
    """Run an experiment once for all tests."""

    @cache
    def run_once(name: str) -> Done:
        run, given = EVERY[name]
        told: dict[str, list[int]] = {}

        @contextmanager
        def watched(title: str, total: int) -> Iterator[Callable[[int], None]]:
            told[title] = [total, 0]

            def advance(done: int) -> None:
                told[title][1] += done

            yield advance

        with pytest.MonkeyPatch.context() as patch:
            for module in (batches, variants):
                patch.setattr(module, "progress", watched)
            kept = counted(patch)
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp("resume")
            found = run(tiny_gpt2_model, given, batch_size=2, resume=folder)
        return Done(found, len(kept), told)

    return run_once


def counted(patch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """Count in a list the batches that are kept from now on; at one of them, be interrupted."""
    kept: list[int] = []
    keep = FinishedProblems.keep

    def counting(run: FinishedProblems, arrays: Arrays) -> None:
        if len(kept) + 1 == stop_at:
            raise KeyboardInterrupt
        kept.append(len(kept))
        keep(run, arrays)

    patch.setattr(FinishedProblems, "keep", counting)
    return kept


def by_label(found: xr.Dataset) -> xr.Dataset:
    return found.sortby("pair" if "pair" in found.dims else "problem")


@every
def test_what_was_done_before_an_interruption_is_not_done_again(
    name: str, tmp_path, tiny_gpt2_model: ContinuousThoughtModel, done, monkeypatch
) -> None:
    run, given = EVERY[name]
    whole = done(name)
    assert whole.n_batches > 1
    with monkeypatch.context() as patch:
        counted(patch, stop_at=whole.n_batches)  # the last of all
        with pytest.raises(KeyboardInterrupt):
            run(tiny_gpt2_model, given, batch_size=2, resume=tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == whole.n_batches - 1
    kept = counted(monkeypatch)
    resumed = run(tiny_gpt2_model, given, batch_size=2, resume=tmp_path)
    assert len(kept) == 1
    xr.testing.assert_allclose(resumed, whole.found, atol=1e-6)
    assert not list(tmp_path.rglob("*.npz"))


@every
def test_neither_batches_nor_order_change_an_experiment(
    name: str, tiny_gpt2_model: ContinuousThoughtModel, done
) -> None:
    """Answers and choices exactly, numbers but for rounding."""
    run, given = EVERY[name]
    torch.manual_seed(1)
    other = run(tiny_gpt2_model, list(given)[::-1])
    xr.testing.assert_allclose(by_label(other), by_label(done(name).found), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "exits"])  # draws nothing
def test_another_seed_is_another_draw(
    name: str, tiny_gpt2_model: ContinuousThoughtModel, done
) -> None:
    run, given = EVERY[name]
    other = run(tiny_gpt2_model, given, seed=1, batch_size=2).drop_attrs()
    assert not other.identical(done(name).found.drop_attrs())


@every
def test_an_experiment_says_how_far_it_is(name: str, done) -> None:
    told = done(name).told
    assert told
    assert all(done == total > 0 for total, done in told.values())
